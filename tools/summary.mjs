// Prints the last lines of the test runners and adds up their results.
//
//   node tools/summary.mjs <log folder>
import { readFileSync } from 'node:fs';
import path from 'node:path';

const logDir = process.argv[2];
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

for (const name of ['vuln.json', 'unit.json', 'bench.json', 'chaos.json']) {
  const result = read(name);
  if (!result) continue;
  const count = JSON.parse(result);
  console.log(count.closing.join('\n'));
  for (const key of Object.keys(total)) total[key] += count[key];
}

const e2e = read('e2e.tap');
if (e2e) {
  const closing = e2e.split('\n').filter((line) => /^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(line));
  console.log(closing.join('\n'));
  const number = (word) => Number(closing.find((line) => line.startsWith(`# ${word} `))?.split(' ')[2] ?? 0);
  total.passed += number('pass');
  total.failed += number('fail') + number('cancelled') + (number('tests') === 0 ? 1 : 0);
  total.skipped += number('skipped');
}

const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed ? 1 : 0;
