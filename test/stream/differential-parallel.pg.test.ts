import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lsn, type WalEvent, WalStream, type WalStreamOptions } from '../../src/index.js';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { Random } from '../support/workload.js';

const WRITERS = 4;
const ROWS_PER_WRITER = 60_000;
const PUBLICATION = 'parallel';
const PAYLOAD_REPEATS = 25;

/** Adds the thread that ran it to what it was given. */
const TRANSFORM = `data:text/javascript,${encodeURIComponent(`
  import { threadId } from 'node:worker_threads';
  export default (event) => [threadId, event.new.writer, event.new.seq, event.new.payload];
`)}`;

/** Checks what holds in any stream of these transactions, event by event. */
class OrderCheck {
  readonly nextSeq = new Array<number>(WRITERS).fill(0);
  readonly threads = new Set<number>();
  rows = 0;
  commits = 0;
  #commitEndLsn = 0n;
  #transaction: { xid: number; commitLsn: bigint } | undefined;
  #ordinal = 0;

  see(event: WalEvent, transformed: boolean): void {
    switch (event.kind) {
      case 'begin':
        assert.equal(this.#transaction, undefined, 'a transaction begins after the one before has ended');
        this.#transaction = { xid: event.xid, commitLsn: event.commitLsn };
        this.#ordinal = 0;
        break;
      case 'commit':
        assert.deepStrictEqual({ xid: event.xid, commitLsn: event.commitLsn }, this.#transaction);
        assert.ok(event.commitEndLsn > event.commitLsn);
        assert.ok(event.commitEndLsn > this.#commitEndLsn, 'commitEndLsn grows');
        this.#commitEndLsn = event.commitEndLsn;
        this.#transaction = undefined;
        this.commits++;
        break;
      case 'insert': {
        assert.equal(event.xid, this.#transaction?.xid);
        assert.equal(event.commitLsn, this.#transaction?.commitLsn);
        assert.equal(event.ordinal, this.#ordinal++);
        let row = [event.new.writer, event.new.seq, event.new.payload];
        if (transformed) {
          const [thread, ...values] = event.value as [number, ...unknown[]];
          this.threads.add(thread);
          row = values;
        }
        const [writer, seq, payload] = row as [number, number, string];
        assert.equal(seq, this.nextSeq[writer], `writer ${writer} (seed ${SEED})`);
        assert.equal(payload, `${writer}:${seq};`.repeat(PAYLOAD_REPEATS));
        this.nextSeq[writer] = seq + 1;
        this.rows++;
        break;
      }
      default:
        assert.equal(event.kind, 'relation');
    }
  }
}

describe(`PostgreSQL ${PG_MAJOR}: many batches in several workers stay in order`, () => {
  const server = sharedServer();
  const slots = ['rows', 'transformed', 'slow'];
  let commits = 0;
  let stopLsn = 0n;

  before(async () => {
    const client = await connect(server());
    await client.query(`CREATE TABLE parallel (writer int, seq int, payload text, PRIMARY KEY (writer, seq));
      CREATE PUBLICATION ${PUBLICATION} FOR TABLE parallel`);
    for (const slot of slots) {
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
    }
    commits = (await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)))).reduce(
      (a, b) => a + b,
    );
    const [row] = (await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn')).rows;
    stopLsn = Lsn.parse(row?.lsn ?? '');
    await client.end();
  });

  /** Transactions of one row up to thousands, some rolled back. */
  async function write(writer: number): Promise<number> {
    const random = new Random(SEED + writer);
    const client = await connect(server());
    const insert = `INSERT INTO parallel SELECT $1::int, n, repeat($1::int || ':' || n || ';', ${PAYLOAD_REPEATS})
      FROM generate_series($2::int, $3::int) n`;
    let committed = 0;
    for (let seq = 0; seq < ROWS_PER_WRITER; ) {
      const count = Math.min(random.pick([1, 2, 30, 500, 5_000]), ROWS_PER_WRITER - seq);
      await client.query('BEGIN');
      await client.query(insert, [writer, seq, seq + count - 1]);
      const commits = random.chance(0.9);
      await client.query(commits ? 'COMMIT' : 'ROLLBACK');
      if (commits) {
        seq += count;
        committed++;
      }
    }
    await client.end();
    return committed;
  }

  const streamOf = (slot: string, options: Partial<WalStreamOptions> = {}) =>
    new WalStream({
      connection: server().connectionString(),
      slot,
      publications: PUBLICATION,
      stopLsn,
      workers: 2,
      ...options,
    });

  /** Reads the stream to its end and checks it. */
  async function drain(stream: WalStream, transformed: boolean, pause: (batch: number) => Promise<void>) {
    const check = new OrderCheck();
    let sequence = 0;
    for await (const batch of stream.batches()) {
      assert.equal(batch.sequence, sequence++);
      for (const event of batch) check.see(event, transformed);
      await pause(sequence);
    }
    assert.deepStrictEqual(check.nextSeq, new Array(WRITERS).fill(ROWS_PER_WRITER));
    assert.equal(check.rows, WRITERS * ROWS_PER_WRITER);
    assert.equal(check.commits, commits);
    const { workerBatches, workerRestarts, bytesReceived } = stream.stats();
    assert.ok(bytesReceived > 60_000_000, `${bytesReceived} bytes`);
    // 512 KiB each at most.
    assert.ok(workerBatches > 100, `${workerBatches} batches in workers`);
    assert.equal(workerRestarts, 0);
    return check;
  }

  test('rows, at full speed', async () => {
    await drain(streamOf('rows'), false, async () => {});
  });

  test('rows of a transform, which tells the threads apart', async () => {
    const { threads } = await drain(
      streamOf('transformed', { transform: { module: TRANSFORM }, workers: 3 }),
      true,
      async () => {},
    );
    assert.equal(threads.size, 3);
  });

  test('rows, with a consumer that is slow now and then', async () => {
    const random = new Random(SEED);
    const stream = streamOf('slow', { maxInFlightBytes: 2 * 1024 * 1024, workers: 4 });
    let largestInFlight = 0;
    await drain(stream, false, async () => {
      largestInFlight = Math.max(largestInFlight, stream.stats().inFlightBytes);
      if (random.chance(0.1)) await sleep(random.integer(1, 20));
    });
    assert.ok(largestInFlight > 512 * 1024, `${largestInFlight} bytes at most in flight`);
    assert.ok(largestInFlight < 4 * 1024 * 1024, `${largestInFlight} bytes in flight`);
  });
});
