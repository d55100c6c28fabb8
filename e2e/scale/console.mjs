// What the console costs a broker with many sockets in many rooms, and how quick its pages are:
// make console-scale. Prints a table, and fails if the broker takes more than 3 % of a core for a
// console that somebody leaves open.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { ARGS, CHROMIUM } from '../helpers/browser.mjs';
import { ROOT } from '../helpers/process.mjs';

const CLIENTS = Number(process.env.CLIENTS ?? 15_000);
const ROOMS = Number(process.env.ROOMS ?? 100_000);
const SECONDS = Number(process.env.SECONDS ?? 20); // of each measurement
const GOAL = 3; // % of a core
const TICKS = 100; // a second, as /proc counts them

// What pages show when they are there. A room and a socket are in lists that must be searched.
const PAGES = {
  overview: ['/', 'table tbody tr'],
  rooms: ['/rooms', 'table tbody tr >> nth=49'],
  'rooms by size': ['/rooms?order=sockets', 'table tbody tr >> nth=49'],
  'rooms, searched': ['/rooms?q=m-77777', 'text=room-77777'],
  'a room': ['/rooms/%2F/room-77777', 'h1:has-text("room-77777")'],
  sockets: ['/sockets', 'table tbody tr >> nth=49'],
  'sockets, searched': ['/sockets?q=user-14', 'table tbody tr >> text=user-14'],
  users: ['/users', 'table tbody tr >> nth=49'],
  'live tail': ['/tail', 'text=Live >> nth=-1'],
};

// cpu returns how many seconds of a processor a process has taken.
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

// share returns the broker's share of a core, in %, over some seconds.
async function share(pid) {
  const [before, start] = [cpu(pid), performance.now()];
  await sleep(SECONDS * 1000);
  return (cpu(pid) - before) / (performance.now() - start) * 1e5;
}

// crowd starts the broker and its clients.
async function crowd() {
  const child = spawn(path.join(ROOT, 'bench/bin/crowd'), ['-sala', path.join(ROOT, 'bin/sala'), '-clients', String(CLIENTS), '-rooms', String(ROOMS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const line = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), exited]);
  if (child.exitCode !== null) throw new Error(`crowd ended with ${child.exitCode}`);
  const stop = async () => {
    child.stdin.end();
    await exited;
    if (child.exitCode !== 0) throw new Error(`crowd ended with ${child.exitCode}`);
  };
  return { ...JSON.parse(line[0]), stop };
}

async function enter(browser, { http, key }) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
  page.setDefaultTimeout(60_000);
  await page.goto(`http://${http}/console/`);
  await page.getByLabel('API key').fill(key);
  await page.keyboard.press('Enter');
  await page.locator('.layout').waitFor();
  return page;
}

// visit goes to a page, and returns how many ms it took until its data was there.
async function visit(page, [at, sign]) {
  await page.evaluate(() => { location.hash = '#/no-such-page'; });
  await page.getByText('No such page').first().waitFor();
  const start = performance.now();
  await page.evaluate((to) => { location.hash = to; }, at);
  await page.locator(sign).first().waitFor();
  return performance.now() - start;
}

const broker = await crowd();
const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS });
let worst = 0;
try {
  await sleep(40_000); // the broker gives memory back half a minute after the last connection
  const before = await share(broker.pid);
  console.log(`${CLIENTS} sockets, ${ROOMS} rooms; load of the machine ${loadavg()[0].toFixed(1)}`);
  console.log(`without the console: ${before.toFixed(1)} % of a core`);
  const page = await enter(browser, broker);
  console.log('page               | until its data is there, ms | open: % of a core more');
  for (const [name, where] of Object.entries(PAGES)) {
    const times = [await visit(page, where), await visit(page, where), await visit(page, where)].sort((a, b) => a - b);
    const more = await share(broker.pid) - before;
    worst = Math.max(worst, more);
    console.log(`${name.padEnd(18)} | ${times[1].toFixed(0).padStart(27)} | ${more.toFixed(1).padStart(22)}`);
  }
} finally {
  await browser.close();
  await broker.stop();
}
if (worst > GOAL) {
  console.error(`console-scale: the console costs up to ${worst.toFixed(1)} % of a core; the goal is ${GOAL} %`);
  process.exitCode = 1;
}
