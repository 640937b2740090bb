/**
 * A program that streams a transaction of `--rows` rows in one way, and says what that took: `node loaded-consumer.js
 * --how transactions --rows 1000000 --connection ... --slot ...
 * --publication ... --spill <folder>`.
 */
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { WalStream, type WalStreamOptions } from '../../src/index.js';

const { values } = parseArgs({
  options: {
    how: { type: 'string', default: 'events' },
    rows: { type: 'string', default: '1000000' },
    connection: { type: 'string', default: '' },
    slot: { type: 'string', default: '' },
    publication: { type: 'string', default: '' },
    spill: { type: 'string', default: '' },
    streaming: { type: 'string', default: 'off' },
  },
});
const rows = Number(values.rows);
const startedAt = performance.now();
/** How long it takes from being told to end to the end, and whether anything came twice. */
let toldAt: number | undefined;
let changes = 0;

const options: WalStreamOptions = {
  connection: values.connection,
  slot: values.slot,
  publications: values.publication,
  workers: 2,
  streaming: values.streaming === 'on' ? 'on' : 'off',
  spill: { directory: values.spill, memoryBytes: 16 * 1024 * 1024 },
  ...(values.how.includes('transform') && {
    transform: { module: new URL('./transforms/first-column.js', import.meta.url) },
  }),
};

/** Ends the stream while it is in the middle of the load. */
function tell(stream: WalStream): void {
  if (!values.how.startsWith('stop') || toldAt !== undefined) return;
  toldAt = performance.now();
  void stream.stop({ timeoutMs: 1_000 });
}

async function consume(stream: WalStream): Promise<void> {
  if (values.how.includes('transactions')) {
    const timer = setInterval(() => {
      if (stream.stats().changesReceived > rows / 4) tell(stream);
    }, 10);
    for await (const item of stream.transactions()) {
      if (item.kind === 'transaction') for await (const _ of item.changes) changes++;
      if (changes >= rows) break;
    }
    clearInterval(timer);
    return;
  }
  for await (const event of stream) {
    if (event.kind === 'insert') changes++;
    if (changes === 1_000 && values.how === 'slow') await sleep(10_000);
    if (changes === Math.floor(rows / 4)) tell(stream);
    if (event.kind === 'commit' && changes >= rows) break;
  }
}

const stream = new WalStream(options);
await consume(stream);
await stream.stop();
const endMs = toldAt === undefined ? undefined : performance.now() - toldAt;
await sleep(50);
console.log(
  JSON.stringify({
    changes,
    reconnects: stream.stats().reconnects,
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
    endMs,
    // In kilobytes, on every platform.
    maxRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
    spilled: await readdir(values.spill),
    open: process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Worker|MessagePort/.test(name)),
  }),
);
