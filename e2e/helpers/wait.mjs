// Waiting without sleeping: for an event or a promise, up to a deadline that
// fails the test with an explanation.

import { setTimeout as sleep } from 'node:timers/promises';

export const DEADLINE = 60_000;

// deadline settles as the promise does, or rejects after ms with what it waited for.
export function deadline(promise, what, ms = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// until calls probe repeatedly until it returns something truthy, and returns that.
// Use it for states that nothing announces. It leaves the processor to the broker in between.
export async function until(probe, what, ms = DEADLINE) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(5);
  }
}
