import { ordersTape, sender, streamFrom } from '../testing/events.js';

/* Run with the package as a preload, which every thread loads too: prints how many inserts came through workers. */

const { tape } = ordersTape(...Array<number>(20).fill(1_000));
const from = await sender(tape);
const stream = streamFrom(from, { stopLsn: tape.endLsn });
let inserts = 0;
for await (const event of stream) if (event.kind === 'insert') inserts++;
const { workerBatches, workerRestarts } = stream.stats();
await from.close();
console.log(JSON.stringify({ inserts, byWorkers: workerBatches > 0, workerRestarts }));
