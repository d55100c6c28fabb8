// Looks for known vulnerabilities in what is shipped: with govulncheck in the Go modules, with npm
// audit in the Node packages. If a database can't be reached, the check counts as skipped.
//
//   node tools/vuln.mjs <file> <database> <package-lock.json>…
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [resultFile, database, ...locks] = process.argv.slice(2);
const govulncheck = path.resolve('.tools/bin/govulncheck');
const count = { passed: 0, failed: 0, skipped: 0, closing: [] };

function record(result, what, why = '') {
  count[result]++;
  const line = `${result.padEnd(7)} ${what}${why && `: ${why}`}`;
  count.closing.push(line);
  console.log(line);
}

function run(command, args, cwd) {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 600_000, maxBuffer: 64 << 20 });
  return { code: done.status, out: done.stdout ?? '', err: done.stderr || done.error?.message || '' };
}

// Returns when the database was updated, undefined if it can't be reached.
function updated() {
  const { out } = run(govulncheck, ['-version', '-db', database]);
  return /^DB updated: (.+)$/m.exec(out)?.[1];
}

// bench/ and chaos/ are left out: nothing of them is shipped.
function checkGo() {
  const date = updated();
  for (const dir of ['.', 'sdk/go', 'examples/backend-go', 'examples/chat-backend-go']) {
    const what = `govulncheck ${dir}`;
    if (!date) {
      record('skipped', what, `the database ${database} can't be reached`);
      continue;
    }
    const { code, out, err } = run(govulncheck, ['-db', database, './...'], dir);
    if (code !== 0) console.log(out + err);
    record(code === 0 ? 'passed' : 'failed', what, `database of ${date}`);
  }
}

function audit(dir) {
  const { out, err } = run('npm', ['audit', '--json', '--package-lock-only'], dir);
  try {
    return { report: JSON.parse(out), err };
  } catch {
    return { report: {}, err };
  }
}

function checkNode() {
  let missing; // why the database can't be reached, once known
  for (const dir of locks.map((lock) => path.dirname(lock))) {
    const what = `npm audit ${dir}`;
    const { report, err } = missing ? { report: {} } : audit(dir);
    const total = report.metadata?.vulnerabilities?.total;
    if (total === undefined) {
      missing ??= report.message ?? err.split('\n')[0];
      record('skipped', what, `the registry answers no audits: ${missing}`);
      continue;
    }
    if (total > 0) console.log(JSON.stringify(report.vulnerabilities, null, 2));
    record(total === 0 ? 'passed' : 'failed', what, `${total} known vulnerabilities`);
  }
}

checkGo();
checkNode();
mkdirSync(path.dirname(resultFile), { recursive: true });
writeFileSync(resultFile, JSON.stringify(count));
process.exitCode = count.failed ? 1 : 0;
