// The navigation, by task. A page of docs/ that isn't listed here fails the build.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ROOT, address } from './pages.mjs';

const START = ['tutorial', 'glossary'].filter(exists);
const BUILD = ['clients', 'publishing', 'events', 'rooms', 'recovery', 'api', 'cli'];
const MIGRATE = ['migrating', 'migrating-flask-socketio', 'migrating-node', 'python-clients'];
const RUN = [
  ['Deploy', ['releases', 'deploy/README', 'configuration', 'running']], ['Secure', ['security']], ['Observe', ['operations', 'console', 'admin-ui']], ['Scale', ['scaling']],
  ['Troubleshoot', ['troubleshooting']],
];
const REFERENCE = ['api', 'cli', 'configuration', 'metrics', 'errors', 'events'].map((name) => `reference/${name}`).filter(exists);
const INSIDE = ['design', 'performance', 'benchmarks', 'faults', 'soak', 'simulation'];

export const english = {
  nav: [
    { text: 'Guides', link: '/pages', activeMatch: '^/(pages|clients|publishing|events|rooms|recovery|api|cli)' },
    { text: 'Reference', link: '/reference/api', activeMatch: '^/reference/' },
    { text: 'Changelog', link: '/changelog' },
  ],
  sidebar: {
    '/': [
      { text: 'Start', items: [{ text: 'What Sala is', link: '/' }, ...pages(START), { text: 'All pages by task', link: '/pages' }] },
      { text: 'Build', items: pages(BUILD) },
      { text: 'Migrate', items: pages(MIGRATE) },
      ...RUN.map(([text, names]) => ({ text, items: pages(names) })),
      { text: 'Reference', items: pages(REFERENCE) },
      { text: 'Inside Sala', items: pages([...INSIDE, 'adr/README']) },
      { text: 'Project', items: ['CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'].map(item) },
    ],
    '/adr/': [
      { text: 'Inside Sala', items: pages([...INSIDE, 'adr/README']) },
      { text: 'Each decision', items: pages(decisions()) },
    ],
    '/es/': spanishSidebar(),
  },
};

export const spanish = {
  nav: [{ text: 'Inicio', link: '/es/' }, { text: 'Referencia (en inglés)', link: '/reference/api' }],
  outlineTitle: 'En esta página',
  docFooter: { prev: 'Anterior', next: 'Siguiente' },
  darkModeSwitchLabel: 'Apariencia',
  lightModeSwitchTitle: 'Cambiar al tema claro',
  darkModeSwitchTitle: 'Cambiar al tema oscuro',
  sidebarMenuLabel: 'Menú',
  returnToTopLabel: 'Volver arriba',
  langMenuLabel: 'Cambiar de idioma',
  sidebar: { '/es/': spanishSidebar() },
};

function spanishSidebar() {
  return [
    { text: 'Empezar', items: [{ text: 'Qué es Sala', link: '/es/' }, ...markdown('docs/es').map(item)] },
    { text: 'En inglés', items: pages(['clients', 'events', 'api', 'configuration', 'running', 'operations']) },
  ];
}

function decisions() {
  return markdown('docs/adr').map((file) => file.slice('docs/'.length, -'.md'.length)).filter((name) => !name.endsWith('README'));
}

function pages(names) {
  return names.map((name) => (name === 'deploy/README' ? 'deploy/README.md' : `docs/${name}.md`)).map(item);
}

function item(file) {
  return { text: title(file), link: `/${address(file)}` };
}

// title returns the first heading of a page.
function title(file) {
  const heading = /^# (.+)$/m.exec(readFileSync(path.join(ROOT, file), 'utf8'));
  if (!heading) throw new Error(`${file} has no heading`);
  return heading[1].replaceAll('`', '');
}

function exists(page) {
  return page === 'deploy/README' || existsSync(path.join(ROOT, 'docs', `${page}.md`));
}

// markdown returns the Markdown files of a folder, of which there may be none.
function markdown(folder) {
  const full = path.join(ROOT, folder);
  return existsSync(full) ? readdirSync(full).filter((name) => name.endsWith('.md')).sort().map((name) => `${folder}/${name}`) : [];
}

const listed = new Set([...START, ...BUILD, ...MIGRATE, ...RUN.flatMap(([, names]) => names), ...REFERENCE, ...INSIDE, 'README'].map((name) => `docs/${name}.md`));
for (const file of [...markdown('docs'), ...markdown('docs/reference')]) {
  if (!listed.has(file)) throw new Error(`${file} isn't in web/site/.vitepress/sidebar.mjs`);
}
