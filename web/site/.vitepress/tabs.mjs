// Tabs, for markdown-it. Between <!-- tabs --> and <!-- /tabs -->, each paragraph that is only a
// bold name begins a tab. GitHub shows the same one below the other, under their names.
const OPEN = /^<!-- tabs -->\s*$/;
const CLOSE = /^<!-- \/tabs -->\s*$/;

export function useTabs(md) {
  md.core.ruler.push('tabs', (state) => {
    for (let at = 0; at < state.tokens.length; at++) {
      if (!isComment(state.tokens[at], OPEN)) continue;
      const end = state.tokens.findIndex((token, i) => i > at && isComment(token, CLOSE));
      if (end < 0) throw new Error(`${state.env.realPath}: <!-- tabs --> without <!-- /tabs -->`);
      const tabs = tabsOf(state, state.tokens.slice(at + 1, end));
      state.tokens.splice(at, end - at + 1, ...tabs);
      at += tabs.length - 1;
    }
  });
}

function isComment(token, which) {
  return token.type === 'html_block' && which.test(token.content);
}

function tabsOf(state, tokens) {
  const names = [];
  const inside = [];
  const html = (content) => Object.assign(new state.Token('html_block', '', 0), { content });
  for (let i = 0; i < tokens.length; i++) {
    const name = tokens[i].type === 'paragraph_open' && /^\*\*([^*]+)\*\*$/.exec(tokens[i + 1].content)?.[1];
    if (!name) {
      inside.push(tokens[i]);
      continue;
    }
    inside.push(html(`${names.length ? '</template>' : ''}<template #tab${names.length}>\n`));
    names.push(name);
    i += 2; // the paragraph
  }
  if (names.length === 0) throw new Error(`${state.env.realPath}: tabs without a name in bold`);
  const labels = JSON.stringify(names).replaceAll("'", '&#39;');
  return [html(`<Tabs :names='${labels}'>\n`), ...inside, html('</template></Tabs>\n')];
}
