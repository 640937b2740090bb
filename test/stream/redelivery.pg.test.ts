import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { suite, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type {
  AcknowledgeableEvent,
  RawMessage,
  Transaction,
  TransactionItem,
  WalEvent,
  WalStream,
  WalStreamOptions,
} from '../../src/index.js';
import { createLargeSchema, LARGE_PUBLICATION, runLargeTransactions } from '../support/large-transactions.js';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { Random } from '../support/workload.js';
import { EventKeys, type Given, itemKeys, RawKeys, RedeliveryCheck } from './redelivery-check.js';
import { Source } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

/** After so many losses the rest comes without. */
const LOSSES = 10;

type Acknowledgeable = AcknowledgeableEvent | Transaction;
type Take = (given: readonly Given[], end: Acknowledgeable | undefined) => Promise<void>;

/** A way to consume: what it gives, one thing after the other, as keys. */
type Way = (stream: WalStream, take: Take) => Promise<void>;

function endOf(item: WalEvent | TransactionItem): Acknowledgeable | undefined {
  if (item.kind === 'commit' || item.kind === 'transaction') return item;
  return item.kind === 'message' && !item.transactional ? item : undefined;
}

async function takeEvent(event: WalEvent, keys: EventKeys, take: Take): Promise<void> {
  const given = keys.of(event);
  if (given !== undefined) await take([given], endOf(event));
}

const WAYS: Readonly<Record<string, Way>> = {
  'for await': async (stream, take) => {
    const keys = new EventKeys();
    for await (const event of stream) await takeEvent(event, keys, take);
  },
  nextEvent: async (stream, take) => {
    const keys = new EventKeys();
    for (;;) {
      const event = await stream.nextEvent({ timeoutMs: 60_000 });
      if (event === undefined) return;
      assert.ok(event !== null);
      await takeEvent(event, keys, take);
    }
  },
  batches: async (stream, take) => {
    const keys = new EventKeys();
    for await (const batch of stream.batches()) {
      for (const event of batch) {
        if (batch.redelivered) assert.ok(event.redelivered, 'what is in a redelivered batch is');
        await takeEvent(event, keys, take);
      }
    }
  },
  rawMessages: async (stream, take) => {
    const keys = new RawKeys();
    for await (const message of stream.rawMessages() as AsyncIterable<RawMessage>) {
      const given = keys.of(message);
      if (given !== undefined) await take([given], undefined);
    }
  },
  transactions: async (stream, take) => {
    for await (const item of stream.transactions()) await take(await itemKeys(item), endOf(item));
  },
  'transactions, streamed': async (stream, take) => {
    for await (const item of stream.transactions()) await take(await itemKeys(item), endOf(item));
  },
};

suite(`what is not acknowledged comes again, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });

  /** What each way gives when no connection is lost; the first three are alike. */
  const oracles = new Map<string, Given[]>();
  async function withoutFaults(source: Source, name: string, options: Partial<WalStreamOptions>): Promise<Given[]> {
    const kind = ['nextEvent', 'batches'].includes(name) ? 'for await' : name.replace(/,.*/, '');
    const known = oracles.get(kind);
    if (known !== undefined) return known;
    const given: Given[] = [];
    await (WAYS[name] as Way)(source.stream({ ...options, ack: 'manual' }), async (more) => {
      given.push(...more);
    });
    oracles.set(kind, given);
    return given;
  }

  async function consume(
    t: TestContext,
    source: Source,
    name: string,
    slot: string,
    ack: 'auto' | 'manual',
    stopLsn: bigint,
    random: Random,
  ): Promise<void> {
    const way = WAYS[name] as Way;
    const shared = {
      publications: LARGE_PUBLICATION,
      messages: true,
      stopLsn,
      streaming: name.includes('streamed') ? 'on' : 'off',
      spill: { memoryBytes: 64 * 1024 },
    } as const;
    const expected = await withoutFaults(source, name, { ...shared, slot: 'oracle' });
    const check = new RedeliveryCheck(expected);
    const proxy = await TcpProxy.open(t, server().port);
    const retry = { minDelayMs: 1, maxDelayMs: 50, redeliver: true };
    const stream = source.stream({ ...shared, slot, ack, connection: proxy.connectionString(), retry });
    let losses = 0;
    const cutLater = () => {
      proxy.reopen();
      // Beyond what the checks at the start say, else it would not get on.
      if (++losses <= LOSSES) proxy.cutAfterBytes = proxy.bytesForwarded + random.integer(20_000, 250_000);
    };
    const onLost = (message: unknown) => {
      if ((message as { slot: string }).slot !== slot) return;
      check.lose();
      setImmediate(cutLater);
    };
    subscribe('pg-walstream:connection-lost', onLost);
    t.after(() => unsubscribe('pg-walstream:connection-lost', onLost));
    const open = new Map<string, Acknowledgeable>();
    await stream.start();
    cutLater();
    let taken = 0;
    await way(stream, async (given, end) => {
      for (const one of given) {
        check.take(one);
        // Whatever was given whole is acknowledged when the consumer comes back.
        if (ack === 'auto' && one.endsUnit) check.acknowledge(one.unit);
        if (one.endsUnit && end !== undefined) open.set(one.unit, end);
        // An undecoded message is no event: only positions acknowledge it.
        if (ack === 'manual' && one.endLsn !== undefined && random.chance(0.3)) {
          stream.ack(one.endLsn);
          check.acknowledgeThrough(one.unit);
        }
      }
      if (ack === 'manual' && end !== undefined && given.length === 0) stream.ack(end);
      if (ack === 'manual' && random.chance(end === undefined ? 0.001 : 0.5)) {
        const [unit, event] = random.pick([...open, ['', undefined] as const]);
        if (event !== undefined) {
          open.delete(unit);
          stream.ack(event);
          check.acknowledge(unit);
        }
      }
      if (++taken % 40 === 0 || end !== undefined) await turn();
    });
    assert.ok(check.complete, 'everything was delivered');
    assert.ok(stream.stats().reconnects > 0);
    t.diagnostic(
      `${name}, ${ack}: ${losses - 1} losses, ${check.stepsBack} steps back, ${check.redelivered} things again`,
    );
    // Of whole transactions nothing is left half-way, and the rest is acknowledged by coming back.
    const always = ack === 'manual';
    const never = ack === 'auto' && name.startsWith('transactions');
    if (always) assert.ok(check.stepsBack > 0 && check.redelivered > 0);
    if (never) assert.deepEqual([check.stepsBack, check.redelivered], [0, 0]);
  }

  test('all of it, in order, marked, and nothing else', async (t) => {
    const client = await connect(server());
    t.after(() => client.end());
    await createLargeSchema(client);
    const names = Object.keys(WAYS);
    const slots = ['oracle', ...names.flatMap((_, at) => [`auto_${at}`, `manual_${at}`])];
    for (const slot of slots) await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await runLargeTransactions(server(), new Random(SEED));
    const [row] = await sql(server(), `SELECT pg_current_wal_insert_lsn() - '0/0' AS lsn`);
    const stopLsn = BigInt(String(row?.lsn));
    const source = await Source.open(t, server());
    for (const [at, name] of names.entries()) {
      for (const ack of ['auto', 'manual'] as const) {
        // With 'auto' these do not differ from others.
        if (ack === 'auto' && ['nextEvent', 'transactions, streamed'].includes(name)) continue;
        await t.test(`${name}, ${ack}`, (t) =>
          consume(t, source, name, `${ack}_${at}`, ack, stopLsn, new Random(SEED + at)),
        );
      }
    }
  });
});
