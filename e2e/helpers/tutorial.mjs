// What the reader of docs/tutorial.md does: saves files, runs commands, in a folder beside the repository.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child, ROOT, run } from './process.mjs';

const TUTORIAL = readFileSync(path.join(ROOT, 'docs/tutorial.md'), 'utf8');

// section returns the text below a heading that begins with a number.
export function section(number, page = TUTORIAL) {
  const [, text] = new RegExp(`^## ${number}\\. [^\\n]*\\n(.*?)(?=^## )`, 'ms').exec(page);
  return text;
}

// tab returns the text of a tab.
export function tab(text, name) {
  const [, inside] = new RegExp(`^\\*\\*${name}\\*\\*\\n(.*?)(?=^\\*\\*\\w+\\*\\*$|^<!-- /tabs)`, 'ms').exec(text);
  return inside;
}

// commands returns the blocks of shell commands.
export function commands(text) {
  return [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block);
}

// files returns the files that a text asks the reader to save, by their names.
export function files(text) {
  return Object.fromEntries([...text.matchAll(/`([\w./]+)`:\n\n```(?:html|go|js|python)\n(.*?)^```/gms)].map(([, name, content]) => [name, content]));
}

// Reader follows the tutorial with a broker that runs already.
export class Reader {
  constructor(t, sala) {
    this.sala = sala;
    this.top = mkdtempSync(path.join(tmpdir(), 'sala-tutorial-'));
    t.after(() => rmSync(this.top, { recursive: true, force: true }));
    symlinkSync(ROOT, path.join(this.top, 'sala'));
    this.folder = path.join(this.top, 'chat');
    mkdirSync(this.folder);
    this.env = { SALA_API_KEY: /SALA_API_KEY=(\S+)/.exec(sala.child.stdout)[1].replaceAll("'", '') };
  }

  // here replaces the default addresses in a text with the broker's.
  #here(text) {
    const { addr } = this.sala;
    return text.replaceAll('127.0.0.1:3000', addr.public).replaceAll('127.0.0.1:9090', addr.grpc).replaceAll('127.0.0.1:9091', addr.http);
  }

  save(text) {
    for (const [name, content] of Object.entries(files(text))) {
      const file = path.join(this.folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, this.#here(content));
    }
  }

  // run runs commands to their end, and returns what they print.
  async run(block) {
    const { code, stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', this.#here(block)], { cwd: this.folder, env: this.env, ms: 120_000 });
    if (code !== 0) throw new Error(`${block}\n${stderr}`);
    return stdout;
  }

  // start starts a program that goes on.
  start(block) {
    return new Child('bash', ['-euc', this.#here(block)], { cwd: this.folder, env: this.env });
  }
}
