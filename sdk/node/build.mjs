// Builds the package into dist/, without what is no longer in src/. npm runs it after `npm ci` here and in
// the examples, whose dependency is this folder; there, it installs the compiler first.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';

const root = import.meta.dirname;
const compiler = path.join(root, 'node_modules/typescript/bin/tsc');

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(compiler)) run(process.env.npm_execpath, 'ci', '--ignore-scripts', '--no-audit', '--no-fund');
rmSync(path.join(root, 'dist'), { recursive: true, force: true });
run(compiler);
