// Links between files of the repository, for markdown-it. A link to a page leads to its address on
// the site, a link to any other file to GitHub. VitePress then fails for pages that don't exist.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ROOT, REPOSITORY, address, isPage } from './pages.mjs';

export function useRepositoryLinks(md) {
  md.core.ruler.push('repository-links', (state) => {
    for (const token of state.tokens.flatMap((block) => [block, ...(block.children ?? [])])) {
      if (token.type === 'link_open') token.attrSet('href', onTheSite(token.attrGet('href'), state.env.realPath ?? state.env.path));
    }
  });
}

function onTheSite(href, page) {
  if (/^[a-z]+:|^#|^\//i.test(href)) return href;
  const [target, fragment] = href.split('#');
  const file = path.relative(ROOT, path.resolve(path.dirname(page), decodeURIComponent(target))).replaceAll(path.sep, '/');
  const hash = fragment ? `#${fragment}` : '';
  if (isPage(file)) return `/${address(file)}${hash}`;
  if (isPage(`${file}/README.md`)) return `/${address(`${file}/README.md`)}${hash}`;
  if (!existsSync(path.join(ROOT, file))) throw new Error(`${path.relative(ROOT, page)} links to ${href}, which doesn't exist`);
  return `${REPOSITORY}/tree/main/${file}${hash}`;
}
