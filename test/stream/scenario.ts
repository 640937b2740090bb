import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Lsn, type TransactionItem, type WalEvent, WalStream, type WalStreamOptions } from '../../src/index.js';
import { assertSameUnits, CommittedView } from '../support/committed-view.js';
import { assertSameEvents, EventComparer, expectedEvents, peekMessages, serverText } from '../support/oracle.js';
import { connect, PG_MAJOR } from '../support/server.js';

export interface Scenario {
  /** Before the slot, in a schema of the scenario's own, which is the search path. */
  readonly setup: string;
  /** What follows CREATE PUBLICATION and its name; default: all tables. */
  readonly publication?: string;
  /** Each one a transaction of its own unless it begins one. */
  readonly changes: readonly string[];
  readonly options?: Partial<WalStreamOptions>;
  /** Only `for await`: the others would take too long, or cannot be compared. */
  readonly once?: true;
  /** Asks the server, when the changes have been made, what they came to. */
  readonly after?: (client: pg.Client) => Promise<void>;
  /** What another parser makes of the server's messages is not compared: it gets these wrong. */
  readonly unparsable?: true;
}

interface Way {
  readonly name: string;
  readonly options: Partial<WalStreamOptions>;
  readonly consume: (stream: WalStream) => Promise<CommittedView>;
}

/** What else gives what `for await` gives. */
const WAYS: readonly Way[] = [
  { name: 'whole', options: {}, consume: wholeTransactions },
  { name: 'streamed', options: { streaming: 'on' }, consume: batches },
  {
    name: 'whole_streamed',
    options: { streaming: 'on', spill: { memoryBytes: 64 * 1024 } },
    consume: wholeTransactions,
  },
];

/** A server that streams transactions as soon as it may: {@link Scenarios} need these settings. */
export const SCENARIO_SETTINGS = { logical_decoding_work_mem: '64kB' };

/** More than logical_decoding_work_mem in a transaction, to have it streamed by a server that cannot be told to. */
export const FILLER = "SELECT pg_logical_emit_message(true, 'filler', repeat('f', 70000))";
const STREAMS_ON_REQUEST = PG_MAJOR >= 16;

let scenarios = 0;

/** Runs statements on a server and streams what came of them, in every way that there is. */
export class Scenarios {
  readonly #server: () => EmbeddedServer;
  #name = '';

  constructor(server: () => EmbeddedServer) {
    this.#server = server;
  }

  /** Of the last scenario: its schema, publication and slot. */
  get name(): string {
    return this.#name;
  }

  /** Of the scenario to come. */
  get nextName(): string {
    return `scenario_${scenarios + 1}`;
  }

  /** What `for await` gives, to the end; that the others and another parser find the same is checked here. */
  async streamed(scenario: Scenario): Promise<WalEvent[]> {
    const name = `scenario_${++scenarios}`;
    this.#name = name;
    const { setup, publication = 'FOR ALL TABLES', changes, options, after, once, unparsable } = scenario;
    const ways = once || options?.streaming !== undefined || options?.protoVersion !== undefined ? [] : WAYS;
    const slots = [name];
    const client = await connect(this.#server());
    try {
      await client.query(`CREATE SCHEMA ${name}; SET search_path TO ${name}; ${setup}`);
      await client.query(`CREATE PUBLICATION ${name} ${publication}`);
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
      for (const change of changes) await client.query(ways.length === 0 ? change : outgrowing(change));
      const stopLsn = await insertLsn(client);
      await after?.(client);
      for (const way of ways) {
        await client.query('SELECT pg_copy_logical_replication_slot($1, $2)', [name, `${name}_${way.name}`]);
        slots.push(`${name}_${way.name}`);
      }
      const stream = (slot: string, more: Partial<WalStreamOptions>) => {
        const connection = this.#server().connectionString();
        return new WalStream({ connection, slot, publications: name, stopLsn, ...options, ...more });
      };
      const events = (await drained(stream(name, { ack: 'manual' }))).filter((event) => !isFiller(event));
      const view = new CommittedView();
      for (const event of events) view.take(event);
      for (const { name: way, options: more, consume } of ways) {
        const connection = `${this.#server().connectionString()}${more.streaming === 'on' ? STREAM_AT_ONCE : ''}`;
        const other = await consume(stream(`${name}_${way}`, { connection, ...more }));
        assertSameUnits(other.units, view.units);
        const changed = view.units.some(({ xid }) => xid !== undefined);
        if (way === 'streamed' && changed && STREAMS_ON_REQUEST)
          assert.ok(other.counts.streamCommit, 'it was streamed');
      }
      if (ways.length > 0 && unparsable === undefined && options?.origin === undefined) {
        await isFree(client, name);
        const expected = expectedEvents(await peekMessages(client, name, [name]), serverText);
        const comparer = new EventComparer();
        const text = await drained(stream(name, { ack: 'manual', types: 'text', binary: false, messages: true }));
        const actual = text.map((event) => comparer.comparable(event)).filter((event) => event !== undefined);
        assertSameEvents(actual, expected, 0);
      }
      return events;
    } finally {
      await client.query('ROLLBACK');
      for (const slot of slots) await dropSlot(client, slot);
      await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE; DROP PUBLICATION IF EXISTS ${name}`);
      await client.end();
    }
  }
}

const STREAM_AT_ONCE = STREAMS_ON_REQUEST
  ? `?options=${encodeURIComponent('-c debug_logical_replication_streaming=immediate')}`
  : '';

/** The change in a transaction that is streamed. */
function outgrowing(change: string): string {
  if (STREAMS_ON_REQUEST) return change;
  if (/^BEGIN;/.test(change)) return change.replace(/;\s*COMMIT$/, `; ${FILLER}; COMMIT`);
  return /^(INSERT|UPDATE|DELETE|TRUNCATE)/.test(change) ? `BEGIN; ${change}; ${FILLER}; COMMIT` : change;
}

function isFiller(event: WalEvent | TransactionItem): boolean {
  return event.kind === 'message' && event.prefix === 'filler';
}

async function drained(stream: WalStream): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function batches(stream: WalStream): Promise<CommittedView> {
  const view = new CommittedView();
  for await (const batch of stream.batches()) for (const event of batch) if (!isFiller(event)) view.take(event);
  return view;
}

async function wholeTransactions(stream: WalStream): Promise<CommittedView> {
  const view = new CommittedView();
  for await (const item of stream.transactions()) await view.takeItem(item);
  for (const unit of view.units.splice(0)) {
    const changes = unit.changes.filter(({ prefix }) => prefix !== 'filler');
    if (changes.length > 0) view.units.push({ ...unit, changes });
  }
  return view;
}

/** The server notices only some time later that a stream has closed its connection. */
async function isFree(client: pg.Client, slot: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  const isActive = async () =>
    (await client.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active', [slot])).rowCount === 1;
  while ((await isActive()) && Date.now() < deadline) await sleep(20);
}

export async function dropSlot(client: pg.Client, slot: string): Promise<void> {
  await isFree(client, slot);
  await client.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [
    slot,
  ]);
}

export async function insertLsn(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return Lsn.parse(rows[0]?.lsn ?? '');
}

export type EventOf<K extends WalEvent['kind']> = Extract<WalEvent, { kind: K }>;

export function only<K extends WalEvent['kind']>(events: readonly WalEvent[], ...kinds: readonly K[]): EventOf<K>[] {
  return events.filter((event): event is EventOf<K> => (kinds as readonly string[]).includes(event.kind));
}

/** The rows of the changes, without positions. */
export function changesOf(events: readonly WalEvent[]) {
  return only(events, 'insert', 'update', 'delete').map((event) => {
    const { kind, table, identity } = event;
    switch (kind) {
      case 'insert':
        return { kind, table, new: event.new, identity };
      case 'update':
        return { kind, table, new: event.new, old: event.old, key: event.key, identity };
      default:
        return { kind, table, old: event.old, key: event.key, identity };
    }
  });
}
