// One broker for the tests of a file.
import { after, before } from 'node:test';
import { Sala } from './sala.mjs';

// broker starts a Sala before the file's tests and stops it after them. The
// object that it returns is complete when the first test runs.
export function broker(options) {
  const shared = {};
  before(async () => {
    shared.sala = await Sala.start(options);
  });
  after(() => shared.sala?.stop());
  return shared;
}

let number = 0;

// fresh returns a name that no other test of the file uses.
export function fresh(word) {
  number++;
  return `${word}-${number}`;
}
