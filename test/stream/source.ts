import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Lsn } from '../../src/lsn.js';
import type { WalStreamOptions } from '../../src/options.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { WalStream } from '../../src/stream/wal-stream.js';
import { connect } from '../support/server.js';

/** Far beyond what anything takes that does not hang. */
export const PATIENCE_MS = 60_000;
let sources = 0;

/** A table with a publication and a slot of its own, to write to and to stream from. */
export class Source {
  readonly name: string;
  readonly server: EmbeddedServer;
  readonly client: pg.Client;
  readonly #database: string | undefined;
  readonly #streams: WalStream[] = [];

  static async open(
    t: TestContext,
    server: EmbeddedServer,
    columns = 'id int PRIMARY KEY, note text',
    database?: string,
  ): Promise<Source> {
    const source = new Source(server, await connect(server, database), database);
    t.after(async () => {
      for (const stream of source.#streams) await stream.stop({ drain: 'none' });
      await source.client.end();
      await dropSlots(server, source.name);
    });
    const { name } = source;
    await source.client.query(`CREATE TABLE ${name} (${columns}); CREATE PUBLICATION ${name} FOR TABLE ${name}`);
    await source.client.query(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
    return source;
  }

  private constructor(server: EmbeddedServer, client: pg.Client, database: string | undefined) {
    this.name = `source_${++sources}`;
    this.server = server;
    this.client = client;
    this.#database = database;
  }

  /** A stream from the slot; closed with the test. What it loses is an error, unless `retry` says otherwise. */
  stream(options: Partial<WalStreamOptions> = {}): WalStream {
    const stream = new WalStream({
      retry: { maxAttempts: 0 },
      connection: this.server.connectionString(this.#database),
      slot: this.name,
      publications: this.name,
      ...options,
    });
    this.#streams.push(stream);
    return stream;
  }

  /** One transaction that inserts rows `from` to `to`; the notes are `noteBytes` long. */
  async insert(from: number, to = from, noteBytes = 3): Promise<void> {
    await this.client.query(
      `INSERT INTO ${this.name} SELECT g, rpad(g::text, ${noteBytes}, '.') FROM generate_series(${from}, ${to}) g`,
    );
  }

  async query(text: string): Promise<Record<string, unknown>[]> {
    const { rows } = await this.client.query(text);
    return rows;
  }

  async lsn(expression = 'pg_current_wal_flush_lsn()'): Promise<bigint> {
    const [row] = await this.query(`SELECT ${expression} AS lsn`);
    return Lsn.parse(String(row?.lsn));
  }

  /** How far the server was told that we are. */
  async confirmed(): Promise<bigint> {
    return this.lsn(`(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '${this.name}')`);
  }

  async activePid(): Promise<number | null> {
    const [row] = await this.query(`SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${this.name}'`);
    return (row?.active_pid ?? null) as number | null;
  }

  /** The walsender ends some time after its client. */
  async free(): Promise<void> {
    await until(async () => (await this.activePid()) === null, 'the slot is free again');
  }

  /** The ids of the rows that a stream which starts now delivers, up to what is in the WAL now. */
  async rest(): Promise<number[]> {
    await this.free();
    const ids: number[] = [];
    for await (const event of this.stream({ stopLsn: await this.lsn(), ack: 'manual' })) {
      if (event.kind === 'insert') ids.push(idOf(event));
    }
    await this.free();
    return ids;
  }
}

export function idOf(event: WalEvent): number {
  assert.ok(event.kind === 'insert', event.kind);
  return event.new.id as number;
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

/** Waits until it is so. */
export async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never: ${what}`);
    await sleep(20);
  }
}

async function dropSlots(server: EmbeddedServer, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.connectionString() });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name ^@ '${name}'`,
    );
    await until(async () => {
      const { rows } = await client.query(
        `SELECT count(active_pid)::int AS active FROM pg_replication_slots WHERE slot_name = '${name}'`,
      );
      return rows[0]?.active === 0;
    }, `slot ${name} is free`);
    await client.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${name}'`,
    );
  } catch (error) {
    // A server that the test stopped.
    if (!/ECONN|terminat|starting up|shutting down/.test(String(error))) throw error;
  } finally {
    await client.end();
  }
}

/** Runs a consumer that must not end well; gives what it threw. */
export async function failure(run: Promise<unknown>): Promise<unknown> {
  try {
    await run;
  } catch (error) {
    return error;
  }
  assert.fail('nothing was thrown');
}

/** Reads a stream to its end. */
export async function drain(stream: WalStream): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}
