// The client libraries that the suite tests, each with the program that drives it.
import path from 'node:path';

const DIR = import.meta.dirname;

// DRIVERS is {name: {build, command, args}}. build, if there is one, is the command that makes the
// program; {bin} stands for a file in a temporary folder.
export const DRIVERS = {
  go: { build: ['go', ['build', '-o', '{bin}', '.'], path.join(DIR, 'driver-go')], command: '{bin}', args: [] },
  'python, threads': { command: '/usr/bin/python3', args: [path.join(DIR, 'driver-python.py'), 'sync'] },
  'python, asyncio': { command: '/usr/bin/python3', args: [path.join(DIR, 'driver-python.py'), 'asyncio'] },
  node: { command: process.execPath, args: [path.join(DIR, 'driver-node.mjs')] },
};
