// Runs `go test -json` with the given arguments and prints what `go test` would: one line per
// package, and the output of failed tests. Unlike `go test`, it also counts the tests, and writes
// the counts to a file.
//
//   node tools/gotest.mjs <file> -race ./...
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import path from 'node:path';

const [resultFile, ...args] = process.argv.slice(2);
const count = { passed: 0, failed: 0, skipped: 0, closing: [], failures: [] };
const pending = new Map(); // "package test" -> the lines it printed so far
const failedIn = new Set(); // packages in which a test failed

function onEvent(event) {
  if (event.Action === 'build-output') return process.stdout.write(event.Output);
  if (!event.Package) return undefined;
  return event.Test ? onTest(event) : onPackage(event);
}

function onTest({ Action, Package, Test, Output }) {
  const key = `${Package} ${Test}`;
  switch (Action) {
    case 'output':
      pending.set(key, (pending.get(key) ?? '') + Output);
      return;
    case 'fail':
      count.failed++;
      failedIn.add(Package);
      count.failures.push({ test: key, output: pending.get(key) ?? '' });
      process.stdout.write(pending.get(key) ?? '');
      break;
    case 'pass':
      count.passed++;
      break;
    case 'skip':
      count.skipped++;
      break;
    default:
      return;
  }
  pending.delete(key);
}

function onPackage({ Action, Package, Output }) {
  if (Action === 'output' && !/^(PASS|FAIL)\n$/.test(Output)) {
    process.stdout.write(Output);
    if (/^(ok|FAIL)\s/.test(Output)) count.closing.push(Output.trimEnd());
    return;
  }
  if (Action !== 'fail') return;
  // A test that was running when its package died has no result of its own.
  for (const [key, output] of pending) {
    if (!key.startsWith(`${Package} `)) continue;
    count.failures.push({ test: `${key}, which has no result`, output });
    process.stdout.write(output);
  }
  if (!failedIn.has(Package)) count.failed++; // it didn't build, or it crashed
}

const go = spawn('go', ['test', '-json', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
createInterface({ input: go.stdout }).on('line', (line) => {
  if (line.startsWith('{')) onEvent(JSON.parse(line));
  else console.log(line);
});
go.on('error', (err) => {
  console.error(`go test: ${err.message}`);
  process.exitCode = 1;
});
go.on('close', (code) => {
  mkdirSync(path.dirname(resultFile), { recursive: true });
  writeFileSync(resultFile, JSON.stringify(count));
  console.log(`go test: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  if (code !== 0) process.exitCode = code ?? 1;
});
