// Builds the console into api/console/dist, or into the folder that is named: node build.mjs [dir].
// The same sources always give the same bytes.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const root = import.meta.dirname;
const outdir = path.resolve(process.argv[2] ?? path.join(root, '../../api/console/dist'));

rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: { console: 'src/main.tsx', style: 'src/styles/console.css' },
  outdir,
  bundle: true,
  format: 'esm',
  target: ['chrome116', 'firefox124', 'safari17.4'],
  minify: true,
  charset: 'utf8',
  logLevel: 'warning',
});
for (const name of ['index.html', 'icon.svg']) copyFileSync(path.join(root, 'static', name), path.join(outdir, name));

// The licences of what is built in require that their text comes with it.
const licences = ['preact', 'uplot'].map((name) => `${name}\n\n${readFileSync(path.join(root, 'node_modules', name, 'LICENSE'), 'utf8').trim()}\n`);
writeFileSync(path.join(outdir, 'licences.txt'), licences.join('\n\n'));
