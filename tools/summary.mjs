// Prints what failed and why, then the last lines of the test runners, and adds up their results.
//
//   node tools/summary.mjs <log folder>
import { readFileSync } from 'node:fs';
import path from 'node:path';

const logDir = process.argv[2];
const failures = []; // {test, output}
const total = { passed: 0, failed: 0, skipped: 0 };

function read(name) {
  try {
    return readFileSync(path.join(logDir, name), 'utf8');
  } catch {
    console.log(`${name} is missing: that runner did not finish`);
    total.failed++;
    return undefined;
  }
}

// failuresOf returns the failed tests of a TAP report without those that only contain them.
function failuresOf(tap) {
  const blocks = tap.matchAll(/^( *)not ok \d+ - (.*)\n\1  ---\n([^]*?)^\1  \.\.\.$/gm);
  return [...blocks].map(([, , test, output]) => ({ test, output })).filter(({ output }) => !output.includes('subtestsFailed'));
}

for (const name of ['vuln.json', 'unit.json', 'bench.json', 'chaos.json', 'sdk-python.json']) {
  const result = read(name);
  if (!result) continue;
  const count = JSON.parse(result);
  console.log(count.closing.join('\n'));
  failures.push(...count.failures ?? []);
  for (const key of Object.keys(total)) total[key] += count[key];
}

for (const name of ['sdk-node.tap', 'e2e.tap']) {
  const tap = read(name);
  if (!tap) continue;
  const closing = tap.split('\n').filter((line) => /^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(line));
  console.log(closing.join('\n'));
  failures.push(...failuresOf(tap));
  const number = (word) => Number(closing.find((line) => line.startsWith(`# ${word} `))?.split(' ')[2] ?? 0);
  total.passed += number('pass');
  total.failed += number('fail') + number('cancelled') + (number('tests') === 0 ? 1 : 0);
  total.skipped += number('skipped');
}

for (const { test, output } of failures) {
  const lines = output.trimEnd().split('\n');
  console.log(`\n-- failed: ${test}`);
  console.log(lines.length > 40 ? [...lines.slice(0, 30), '...', ...lines.slice(-10)].join('\n') : lines.join('\n'));
}
const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed ? 1 : 0;
