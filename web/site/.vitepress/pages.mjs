// Which Markdown files of the repository are pages, and under which addresses.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const REPOSITORY = 'https://github.com/salabroker/sala';

// Folders and files with pages. Everything else is left out.
const PAGES = ['docs', 'web/site/home', 'deploy/README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'];
const FILES = PAGES.filter((page) => page.endsWith('.md'));
const FOLDERS = PAGES.filter((page) => !page.endsWith('.md'));

export const EXCLUDED = [
  `!(${[...new Set(PAGES.map((page) => page.split('/')[0]))].join('|')})/**`,
  `!(${FILES.filter((file) => !file.includes('/')).map((file) => file.slice(0, -3)).join('|')}).md`,
  'deploy/!(README).md',
  'deploy/*/**',
  'web/!(site)/**',
  'web/site/!(home)/**',
  'web/site/*.md',
];

// VitePress takes the first that matches.
export const REWRITES = {
  'web/site/home/index.md': 'index.md',
  'web/site/home/es.md': 'es/index.md',
  'docs/README.md': 'pages.md',
  'docs/adr/README.md': 'adr/index.md',
  'docs/es/README.md': 'es/pages.md',
  'docs/:page(.*)': ':page',
  'deploy/README.md': 'deploy.md',
  'CHANGELOG.md': 'changelog.md',
  'CONTRIBUTING.md': 'contributing.md',
  'SECURITY.md': 'vulnerabilities.md',
};

// isPage reports whether a file, named by its path in the repository, is a page of the site.
export function isPage(file) {
  const listed = FILES.includes(file) || FOLDERS.some((folder) => file.startsWith(`${folder}/`) && file.endsWith('.md'));
  return listed && existsSync(path.join(ROOT, file));
}

// address returns the address of a page: "events" for docs/events.md.
export function address(file) {
  const known = REWRITES[file] ?? file.replace(/^docs\//, '');
  return known.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '');
}
