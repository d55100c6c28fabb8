// Pages are Markdown and no templates, for markdown-it: {{ }} in their text means itself.
export function useTextAsText(md) {
  const { code_inline: code, text } = md.renderer.rules;
  md.renderer.rules.text = (...all) => text(...all).replaceAll('{{', '&#123;&#123;');
  md.renderer.rules.code_inline = (...all) => code(...all).replaceAll('{{', '&#123;&#123;');
}
