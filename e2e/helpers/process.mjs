// Child processes with recorded output and awaited end.
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { deadline, until } from './wait.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const SALA = path.join(ROOT, 'bin/sala');
export const GRPCURL = path.join(ROOT, '.tools/bin/grpcurl');

// The environment without SALA_ variables of the person who runs the tests.
export function cleanEnv(extra = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('SALA_') && name !== 'NODE_OPTIONS' && name !== 'NODE_TEST_CONTEXT');
  return { ...Object.fromEntries(kept), ...extra };
}

// Child is a running program: its lines so far, and those to come.
export class Child {
  stdout = '';
  stderr = '';
  #changed = new EventEmitter().setMaxListeners(0);

  // input is all that the program reads; with typing, a test writes to process.stdin.
  constructor(command, args, { env = {}, cwd = ROOT, input, typing = false } = {}) {
    this.name = `${path.basename(command)} ${args.join(' ')}`;
    this.process = spawn(command, args, { cwd, env: cleanEnv(env), stdio: [typing || input !== undefined ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
    if (input !== undefined) this.process.stdin.end(input);
    for (const stream of ['stdout', 'stderr']) {
      this.process[stream].setEncoding('utf8').on('data', (text) => {
        this[stream] += text;
        this.#changed.emit('change');
      });
    }
    this.exited = once(this.process, 'close').then(([code, signal]) => {
      this.code = code ?? signal;
      this.#changed.emit('change');
      return this.code;
    });
    this.exited.catch(() => this.#changed.emit('change'));
  }

  get output() {
    return this.stdout + this.stderr;
  }

  // see waits until find(this) returns something truthy, and returns it.
  async see(find, what, ms) {
    const look = async () => {
      for (;;) {
        const found = find(this);
        if (found) return found;
        if (this.code !== undefined) throw new Error(`${this.name} ended with ${this.code} before ${what}:\n${this.output}`);
        await once(this.#changed, 'change');
      }
    };
    return deadline(look(), `${what} from ${this.name}, which said:\n${this.output}`, ms);
  }

  // freeze suspends the process until it gets SIGCONT.
  async freeze() {
    this.process.kill('SIGSTOP');
    const states = () => readdirSync(`/proc/${this.process.pid}/task`).map((id) => readFileSync(`/proc/${this.process.pid}/task/${id}/stat`, 'utf8'));
    await until(() => states().every((state) => /\) [Tt] /.test(state)), `${this.name} to stand still`);
  }

  // end sends a signal and returns the exit code.
  async end(signal = 'SIGTERM', ms = 60_000) {
    if (this.code === undefined) this.process.kill(signal);
    try {
      return await deadline(this.exited, `the end of ${this.name}`, ms);
    } catch (err) {
      this.process.kill('SIGKILL');
      throw err;
    }
  }
}

// run runs a program to its end: {code, stdout, stderr}.
export async function run(command, args, options = {}) {
  const child = new Child(command, args, options);
  try {
    await deadline(child.exited, `the end of ${child.name}`, options.ms ?? 120_000);
  } catch (err) {
    child.process.kill('SIGKILL');
    throw err;
  }
  return { code: child.code, stdout: child.stdout, stderr: child.stderr };
}
