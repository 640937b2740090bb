/*
 * The demo's writers, in a process of their own: they take neither the main thread's time nor the client's CPU, which
 * the demo shows. The parent says when; when it is gone, this process ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { SCHEMA } from './demo-schema.js';
import { firstTransaction, TRUNCATE_EVENTS, type Transaction, transactionsOfTurn } from './transactions.js';
import {
  DEMO_PREFIX,
  END_OF_DEMO,
  type WriterCommand,
  type WriterReport,
  type WriterServer,
} from './writer-messages.js';

/** Writers wait while the stream is further behind: a slow machine is to show a steady state, too. */
const MAX_LAG_BYTES = 96 * 1024 * 1024;
const LAG_CHECK_MS = 250;
const TRUNCATE_INTERVAL_MS = 5_000;

class Writers {
  readonly #server: WriterServer;
  readonly #clients: pg.Client[] = [];
  readonly #sequences: number[] = [];
  #stopping = false;
  #tooFarAhead = false;

  constructor(server: WriterServer) {
    this.#server = server;
  }

  async setUp(writers: number, publication: string): Promise<void> {
    for (let writer = 0; writer <= writers; writer++) this.#clients.push(await connect(this.#server));
    this.#sequences.push(...Array<number>(writers).fill(0));
    await this.#keeper.query(SCHEMA);
    await this.#keeper.query(
      `CREATE PUBLICATION ${pg.escapeIdentifier(publication)} FOR TABLE accounts, orders, events`,
    );
  }

  async write(changesPerSecond: number, slot: string): Promise<void> {
    await this.#run(0, firstTransaction(0));
    const writers = this.#sequences.map((_, writer) => this.#writeUntilStopped(writer, changesPerSecond));
    await Promise.all([...writers, this.#keepHouse(slot)]);
    await this.#keeper.query(`SELECT pg_logical_emit_message(true, '${DEMO_PREFIX}', '${END_OF_DEMO}')`);
    await Promise.all(this.#clients.map((client) => client.end()));
    report({ kind: 'done', lastSequences: this.#sequences });
  }

  stop(): void {
    this.#stopping = true;
  }

  /** The connection besides those of the writers. */
  get #keeper(): pg.Client {
    return this.#clients[this.#sequences.length] as pg.Client;
  }

  async #writeUntilStopped(writer: number, changesPerSecond: number): Promise<void> {
    const changesPerMs = changesPerSecond / this.#sequences.length / 1000;
    let dueMs = performance.now();
    for (let turn = 0; !this.#stopping; turn++) {
      let changes = 0;
      for (const transaction of transactionsOfTurn({ writer, turn, sequence: this.#sequences[writer] ?? 0 })) {
        await this.#run(writer, transaction);
        changes += transaction.changes;
      }
      // What was missed is not made up for: the rate is a ceiling.
      dueMs = Math.max(dueMs + changes / changesPerMs, performance.now() - 100);
      do await sleep(Math.max(dueMs - performance.now(), 0));
      while (this.#tooFarAhead && !this.#stopping && (await sleep(LAG_CHECK_MS, true)));
    }
  }

  async #run(writer: number, { sql, numbered }: Transaction): Promise<void> {
    await this.#clients[writer]?.query(sql);
    this.#sequences[writer] = (this.#sequences[writer] ?? 0) + numbered;
  }

  /** Looks how far behind the stream is, and truncates now and then. */
  async #keepHouse(slot: string): Promise<void> {
    let truncatedAt = performance.now() - TRUNCATE_INTERVAL_MS + 500;
    while (!this.#stopping) {
      await sleep(LAG_CHECK_MS);
      const { rows } = await this.#keeper.query(
        'SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 AS lag FROM pg_replication_slots WHERE slot_name = $1',
        [slot],
      );
      this.#tooFarAhead = Number(rows[0]?.lag ?? 0) > MAX_LAG_BYTES;
      if (performance.now() - truncatedAt < TRUNCATE_INTERVAL_MS) continue;
      truncatedAt = performance.now();
      await this.#keeper.query(TRUNCATE_EVENTS.sql);
    }
  }
}

async function connect({ host, port, password }: WriterServer): Promise<pg.Client> {
  const client = new pg.Client({ host, port, password, user: 'postgres', database: 'postgres', ssl: false });
  client.on('error', fail);
  await client.connect();
  return client;
}

function report(message: WriterReport): void {
  process.send?.(message);
}

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.send?.({ kind: 'failed', message } satisfies WriterReport, () => process.exit(1));
}

let writers: Writers | undefined;

async function obey(command: WriterCommand): Promise<void> {
  switch (command.kind) {
    case 'set-up':
      writers = new Writers(command.server);
      await writers.setUp(command.writers, command.publication);
      report({ kind: 'ready' });
      return;
    case 'write':
      await writers?.write(command.changesPerSecond, command.slot);
      return;
    case 'stop':
      writers?.stop();
      return;
    default:
      command satisfies never;
  }
}

// Ctrl+C reaches the whole group of processes: when we end is the parent's to say.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (command: WriterCommand) => obey(command).catch(fail));
