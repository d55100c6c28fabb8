// The code blocks of the documentation. docs.test.mjs runs every block of every page, unless an
// invisible comment right above it says why not:
//
//   <!-- not run: it takes half an hour -->
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './process.mjs';

// Pages whose blocks have a test of their own.
const ELSEWHERE = ['README.md', 'docs/troubleshooting.md', 'docs/tutorial.md', 'docs/es/tutorial.md', 'README.es.md'];

// What a block in these languages shows is no code, or the output of the block above.
const NO_CODE = ['', 'text', 'json', 'mermaid', 'nginx', 'haproxy'];

const BLOCK = /(?:^ *<!-- (not run: [^\n]*?) -->\n\s*)?^( *)```(\w*)[^\n]*\n(.*?)^\2```$/gms;

// blocksOf returns the blocks of a page: their line, language, text, and why they aren't run.
export function blocksOf(page) {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  return [...text.matchAll(BLOCK)].map(({ index, 0: all, 1: why, 2: indent, 3: language, 4: content }) => ({
    page,
    line: text.slice(0, index + all.indexOf('```')).split('\n').length,
    language,
    text: content.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    why: why?.slice('not run: '.length),
    end: index + all.length,
    start: index,
    between: '',
  })).map((block, i, all) => ({ ...block, output: outputOf(text, block, all[i + 1]) }));
}

// outputOf returns the block that shows what another prints: it follows immediately, or after half a sentence that ends
// with a colon.
function outputOf(text, block, next) {
  if (!next || !['text', 'json'].includes(next.language)) return undefined;
  const between = text.slice(block.end, next.start).trim();
  return between === '' || /^[^\n.]*it prints:$/.test(between) ? next : undefined;
}

// pagesWithCode returns the pages that docs.test.mjs runs, each with its blocks that are code.
export function pagesWithCode() {
  const folder = (name) => readdirSync(path.join(ROOT, name)).filter((file) => file.endsWith('.md')).map((file) => `${name}/${file}`);
  const pages = ['CONTRIBUTING.md', 'deploy/README.md', ...folder('docs')].filter((page) => !ELSEWHERE.includes(page));
  return pages.map((page) => [page, blocksOf(page).filter(({ language }) => !NO_CODE.includes(language))]).filter(([, blocks]) => blocks.length > 0);
}
