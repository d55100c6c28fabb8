// What `make sdk-faults` runs: 1,000 events a second over each client library that the command line
// names, or over all, while broker, backends and proxy are killed.
//
//   node e2e/sdk/run-faults.mjs [name…]
import { DRIVERS } from './drivers.mjs';
import { Library } from './driver.mjs';
import { faults } from './faults.mjs';

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (!DRIVERS[name]) throw new Error(`there is no library ${name}, only ${Object.keys(DRIVERS).join('; ')}`);
}

let failed = false;
for (const [name, program] of Object.entries(DRIVERS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const library = await Library.build(name, program);
  const ends = []; // what ends with the run, the last first
  const t = { after: (end) => ends.unshift(end) };
  try {
    const report = await faults(t, library, { clients: 50, rate: 1000, calm: 2000, rounds: 3 });
    const { lost, wrong, withOthers, reconnects, ...counts } = report;
    console.log(`\n${name}: ${JSON.stringify(counts)}`);
    for (const reconnect of reconnects) console.log(`  ${JSON.stringify(reconnect)}`);
    for (const [what, found] of Object.entries({ lost, wrong, 'errors although another member was there': Object.entries(withOthers) })) {
      console.log(`  ${what}: ${found.length === 0 ? 'none' : JSON.stringify(found.slice(0, 20))}`);
      failed ||= found.length > 0;
    }
  } catch (err) {
    failed = true;
    console.error(`${name}: ${err.stack}`);
  } finally {
    for (const end of ends) await end();
    library.remove();
  }
}
process.exitCode = failed ? 1 : 0;
