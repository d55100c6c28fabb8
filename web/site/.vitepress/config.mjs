// The site is built from the Markdown files of the repository where they are: every page reads as
// well on GitHub. pages.mjs says which files are pages, links.mjs makes their links work in both places.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';
import { useRepositoryLinks } from './links.mjs';
import { EXCLUDED, REPOSITORY, REWRITES, ROOT } from './pages.mjs';
import { english, spanish } from './sidebar.mjs';
import { useTabs } from './tabs.mjs';
import { useTextAsText } from './text.mjs';

const BRANCH = `${REPOSITORY}/edit/main`;

export default defineConfig({
  title: 'Sala',
  description: 'A realtime broker for Socket.IO clients that backends in any language control over gRPC and REST.',
  srcDir: ROOT,
  srcExclude: EXCLUDED,
  rewrites: REWRITES,
  outDir: 'dist',
  cacheDir: 'node_modules/.vitepress',
  cleanUrls: false, // any web server can serve the files, also from a folder
  lastUpdated: false,
  ignoreDeadLinks: [/^http:\/\/(127\.0\.0\.1|localhost)/], // what runs on the reader's machine
  head: [['link', { rel: 'icon', href: '/icon.svg', type: 'image/svg+xml' }]],
  markdown: {
    // GitHub's anchors, which the pages link to.
    anchor: { slugify: githubSlug },
    languageAlias: { haproxy: 'nginx' },
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config(md) {
      useTextAsText(md);
      useRepositoryLinks(md);
      useTabs(md);
    },
  },
  vite: {
    publicDir: `${ROOT}/web/site/public`,
    plugins: [packagesOfPages()],
    build: { chunkSizeWarningLimit: 2000 },
  },
  // The tables of the reference need the whole width.
  transformPageData(page) {
    if (page.relativePath.startsWith('reference/')) page.frontmatter = { ...page.frontmatter, pageClass: 'wide', aside: false };
  },
  themeConfig: {
    logo: '/icon.svg',
    search: {
      provider: 'local',
      options: { locales: { es: { translations: searchInSpanish() } } },
    },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    outline: { level: [2, 3] },
    externalLinkIcon: true,
  },
  locales: {
    root: { label: 'English', lang: 'en', themeConfig: { ...english, editLink: editLink('Edit this page on GitHub') } },
    es: {
      label: 'Español',
      lang: 'es',
      description: 'Un broker de tiempo real para clientes de Socket.IO que los backends de cualquier lenguaje controlan por gRPC y REST.',
      themeConfig: { ...spanish, editLink: editLink('Editar esta página en GitHub') },
    },
  },
});

// packagesOfPages resolves what pages import from here: they are in folders above the packages.
function packagesOfPages() {
  const here = fileURLToPath(import.meta.url);
  return {
    name: 'packages-of-pages',
    enforce: 'pre',
    resolveId(id, importer) {
      return /^vue($|\/)/.test(id) && importer?.endsWith('.md') ? this.resolve(id, here, { skipSelf: true }) : null;
    },
  };
}

// githubSlug returns the fragment that GitHub gives to a heading.
function githubSlug(heading) {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, '').replaceAll(' ', '-');
}

// editLink leads to the source of a page, whose path the rewrites have changed.
function editLink(text) {
  return { text, pattern: `${BRANCH}/:path` };
}

function searchInSpanish() {
  return {
    button: { buttonText: 'Buscar', buttonAriaLabel: 'Buscar' },
    modal: {
      displayDetails: 'Mostrar detalles',
      resetButtonTitle: 'Borrar la búsqueda',
      backButtonTitle: 'Cerrar la búsqueda',
      noResultsText: 'Sin resultados para',
      footer: { selectText: 'abrir', navigateText: 'moverse', closeText: 'cerrar' },
    },
  };
}
