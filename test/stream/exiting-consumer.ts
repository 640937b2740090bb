/**
 * A program that streams, ends its stream and returns; whatever keeps it from exiting is a leak of the stream's. It
 * also says itself what is left open when its stream has ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WalStream } from '../../src/stream/wal-stream.js';

const [, , how = '', connection = '', slot = '', lsn = ''] = process.argv;

async function consume(): Promise<void> {
  const controller = new AbortController();
  const stream = new WalStream({
    connection,
    slot: how === 'failed-start' ? 'no_such_slot' : slot,
    publications: slot,
    signal: controller.signal,
    workers: 2,
    ...(how === 'stop-lsn' && { stopLsn: BigInt(lsn) }),
    ...(how === 'transform' && {
      transform: { module: new URL('./transforms/first-column.js', import.meta.url) },
    }),
  });
  if (how === 'unused') return;
  try {
    let count = 0;
    for await (const _ of stream) {
      count++;
      if (how === 'stats' && count % 100 === 0) stream.stats();
      if (count < 5_000) continue;
      if (how === 'break' || how === 'stats' || how === 'transform') break;
      if (how === 'stop' && count === 5_000) void stream.stop();
      if (how === 'abort') controller.abort(new Error('enough'));
      if (how === 'error') throw new Error('enough');
    }
  } catch (error) {
    if (how !== 'failed-start' && (error as Error).message !== 'enough') throw error;
  }
  await stream.stop();
}

await consume();
// What is closing has a moment to be closed.
await sleep(50);
const open = process
  .getActiveResourcesInfo()
  .filter((name) => /TCP|Pipe.*Wrap.*Socket|Timeout|Worker|MessagePort|TLS/.test(name));
if (open.length > 0 && how !== 'unused') console.log(`left open: ${open.join(', ')}`);
console.log('end of the program');
