import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { WalStream } from '../../src/index.js';
import { assertSameUnits, CommittedView } from '../support/committed-view.js';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { Random } from '../support/workload.js';
import { FILLER } from './scenario.js';
import { Source } from './source.js';

const TRANSACTIONS = 200;
const ROUNDS = 2;

suite(`${TRANSACTIONS} transactions that take turns, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, () => {
  const settings = { logical_decoding_work_mem: '64kB', max_connections: '230' };
  const server = sharedServer({ settings });

  const WAYS: Readonly<Record<string, (stream: WalStream, view: CommittedView) => Promise<void>>> = {
    'for await': async (stream, view) => {
      for await (const event of stream) view.take(event);
      assert.equal(view.mostInProgress, TRANSACTIONS);
    },
    transactions: async (stream, view) => {
      for await (const item of stream.transactions()) await view.takeItem(item);
    },
  };

  test('all are streamed at once, and each is whole, in the order of the commits', async (t) => {
    const source = await Source.open(t, server());
    const random = new Random(SEED);
    for (const slot of ['plain', ...Object.keys(WAYS).map((_, at) => `way_${at}`)]) {
      await source.query(`SELECT pg_create_logical_replication_slot('${source.name}_${slot}', 'pgoutput')`);
    }
    const writers = await Promise.all(Array.from({ length: TRANSACTIONS }, () => connect(server())));
    t.after(() => Promise.all(writers.map((writer) => writer.end())));
    for (const writer of writers) await writer.query('BEGIN');
    for (let round = 0; round < ROUNDS; round++) {
      for (const [at, writer] of writers.entries()) {
        const id = round * TRANSACTIONS + at;
        // More than the server keeps in memory of all of them.
        await writer.query(`INSERT INTO ${source.name} VALUES (${id}, 'x'); ${FILLER}`);
      }
    }
    const left = [...writers];
    while (left.length > 0) {
      const [writer] = left.splice(random.integer(0, left.length - 1), 1);
      await writer?.query('COMMIT');
    }
    const options = { stopLsn: await source.lsn(), messages: true };
    const expected = new CommittedView();
    for await (const event of source.stream({ ...options, slot: `${source.name}_plain` })) expected.take(event);
    assert.equal(expected.units.length, TRANSACTIONS);
    for (const [at, [name, consume]] of Object.entries(WAYS).entries()) {
      await t.test(name, async () => {
        const view = new CommittedView();
        const stream = source.stream({
          ...options,
          slot: `${source.name}_way_${at}`,
          streaming: 'on',
          spill: { memoryBytes: 64 * 1024 },
        });
        await consume(stream, view);
        assert.deepEqual(view.unfinished, []);
        assertSameUnits(view.units, expected.units);
      });
    }
  });
});
