import assert from 'node:assert/strict';
import { BaseBackup, Lsn, WalStream } from 'pg-walstream';
import * as pgoutput from 'pg-walstream/pgoutput';
import { FakeWalSender, WalTape } from 'pg-walstream/testing';

const expected = Number(process.argv[2]);
assert.equal(Lsn.format(Lsn.parse('16/B374D848')), '16/B374D848');
assert.ok(Object.keys(pgoutput).length > 0);

// Without a server first.
const tape = new WalTape();
const item = tape.relation({ table: 'item', columns: { id: 'int8' }, key: ['id'] });
tape.transaction([item.insert({ id: 1 }), item.delete({ id: 1 })]);
const sender = await FakeWalSender.listen({ wal: tape, slots: ['fake'], publications: ['fake'] });
const connection = sender.connectionString();
const kinds = [];
for await (const event of new WalStream({ connection, slot: 'fake', publications: 'fake', stopLsn: tape.endLsn })) {
  kinds.push(event.kind);
}
await sender.close();
assert.deepEqual(kinds, ['begin', 'relation', 'insert', 'delete', 'commit']);
console.log('streamed from a fake sender');

// The server is DATABASE_URL.
const stream = new WalStream({ slot: 'smoke', publications: ['smoke'], workers: 2 });
await stream.start();
let inserts = 0;
for await (const event of stream) {
  if (event.kind !== 'insert') continue;
  inserts++;
  assert.deepEqual({ ...event.new }, { id: BigInt(inserts), name: `name ${inserts}` });
  if (inserts === expected) break;
}
await stream.stop();
assert.equal(inserts, expected);
console.log(`streamed ${inserts} changes in order`);

const backup = new BaseBackup({ directory: 'backup', checkpoint: 'fast', sync: false });
assert.ok((await backup.run()).verified);
