/**
 * Writers, consumers and faults at random, for as long as it is told, from a seed that it prints. Checks all the while
 * that nothing is lost, twice, out of order or confirmed too early, and now and then that the tables are the same.
 * Exits with 1 and the first invariant that did not hold.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Lsn } from '../../src/index.js';
import { connect, PG_MAJOR, sql } from '../support/server.js';
import { Random } from '../support/workload.js';
import { Chronicle } from './chronicle.js';
import { runFault } from './faults.js';
import { ProcessFigures } from './process-figures.js';
import { SoakConsumer } from './soak-consumer.js';
import { CHECKPOINT_WRITER, readTable, SOAK_SCHEMA, SOAK_TABLES } from './soak-schema.js';
import { SoakWriter } from './soak-writers.js';

const USAGE = 'npm run soak -- [--minutes N] [--seed S] [--consumers N] [--writers N]\n';
const MAX_FAULTS_PER_ROUND = 5;
/** Far beyond what a consumer takes that does not hang. */
const PATIENCE_MS = 120_000;
const CONFIRMED_INTERVAL_MS = 250;

const SERVER_SETTINGS = {
  logical_decoding_work_mem: '64kB',
  wal_sender_timeout: '3s',
  max_wal_senders: '20',
  max_replication_slots: '20',
};

class Soak {
  readonly #server: EmbeddedServer;
  readonly #random: Random;
  readonly #writers: readonly SoakWriter[];
  readonly #consumers: readonly SoakConsumer[];
  readonly #broken: Promise<never>;
  readonly #chronicle: Chronicle;
  readonly #faults = new Map<string, number>();
  #checkpoints = 0;

  constructor(
    server: EmbeddedServer,
    random: Random,
    writers: readonly SoakWriter[],
    consumers: readonly SoakConsumer[],
    broken: Promise<never>,
    chronicle: Chronicle,
  ) {
    this.#chronicle = chronicle;
    this.#server = server;
    this.#random = random;
    this.#writers = writers;
    this.#consumers = consumers;
    this.#broken = broken;
  }

  async run(minutes: number, seed: number): Promise<void> {
    using figures = new ProcessFigures();
    const startedAt = performance.now();
    const elapsedMinutes = () => (performance.now() - startedAt) / 60_000;
    for (const consumer of this.#consumers) consumer.start();
    const watching = new AbortController();
    const writing = Promise.all(this.#writers.map((writer) => writer.run()));
    // A rejection of these is what breaks the race below.
    const others = Promise.race([this.#broken, writing, this.#watchConfirmed(watching.signal)]) as Promise<never>;
    others.catch(() => {});
    while (elapsedMinutes() < minutes) {
      await Promise.race([others, this.#round()]);
      console.log(
        `${elapsedMinutes().toFixed(1)} min: checkpoint ${this.#checkpoints}, the tables are the same; ${this.#consumers.map(({ description }) => description).join('; ')}`,
      );
    }
    watching.abort();
    for (const writer of this.#writers) writer.stop();
    await writing;
    for (const consumer of this.#consumers) await consumer.stop();
    this.#report(seed, elapsedMinutes(), figures);
  }

  /** Some faults, then peace, and the tables are compared. */
  async #round(): Promise<void> {
    const random = this.#random;
    const scene = { server: this.#server, consumers: this.#consumers, random };
    for (let faults = random.integer(1, MAX_FAULTS_PER_ROUND); faults > 0; faults--) {
      const name = await runFault(scene, this.#chronicle);
      this.#faults.set(name, (this.#faults.get(name) ?? 0) + 1);
      await sleep(random.integer(100, 1_500));
    }
    await this.#checkpoint();
  }

  async #checkpoint(): Promise<void> {
    const resumes = await Promise.all(this.#writers.map((writer) => writer.pause()));
    const client = await connect(this.#server);
    try {
      const number = ++this.#checkpoints;
      await client.query('INSERT INTO ledger VALUES ($1, $2)', [CHECKPOINT_WRITER, number]);
      const lsn = await flushLsn(client);
      for (const consumer of this.#consumers) {
        consumer.calm(true);
        const { check } = consumer;
        const hasIt = () => check.replica.has('ledger', `${CHECKPOINT_WRITER} ${number}`);
        await this.#until(
          async () => hasIt(),
          () => `${consumer.description} has not come to ${Lsn.format(lsn)}: ${consumer.stats()}`,
        );
        for (const table of Object.keys(SOAK_TABLES)) {
          const difference = check.replica.difference(table, await readTable(client, table));
          if (difference !== undefined) throw new Error(`${consumer.description}: ${difference}`);
        }
        const isConfirmed = async () => ((await this.#confirmed(client)).get(consumer.slot) ?? 0n) >= check.appliedLsn;
        await this.#until(
          isConfirmed,
          () => `${consumer.description} has not confirmed ${Lsn.format(check.appliedLsn)}: ${consumer.stats()}`,
        );
        consumer.calm(false);
      }
    } finally {
      await client.end();
      for (const resume of resumes) resume();
    }
  }

  async #until(condition: () => Promise<boolean>, what: () => string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(what());
      await sleep(20);
    }
  }

  /** What is confirmed is looked at all the time; the server may be away. */
  async #watchConfirmed(signal: AbortSignal): Promise<void> {
    let client: pg.Client | undefined;
    while (!signal.aborted) {
      await sleep(CONFIRMED_INTERVAL_MS);
      let confirmed: ReadonlyMap<string, bigint>;
      try {
        client ??= await connect(this.#server);
        confirmed = await this.#confirmed(client);
      } catch {
        await client?.end().catch(() => {});
        client = undefined;
        continue;
      }
      for (const { slot, check, description } of this.#consumers) {
        try {
          check.confirmed(confirmed.get(slot) ?? 0n);
        } catch (cause) {
          throw new Error(`${description}: ${(cause as Error).message}`, { cause });
        }
      }
    }
    await client?.end();
  }

  async #confirmed(client: pg.Client): Promise<ReadonlyMap<string, bigint>> {
    const { rows } = await client.query('SELECT slot_name, confirmed_flush_lsn AS lsn FROM pg_replication_slots');
    return new Map(rows.map(({ slot_name: slot, lsn }) => [slot, Lsn.parse(lsn)]));
  }

  #report(seed: number, minutes: number, figures: ProcessFigures): void {
    const sum = (pick: (consumer: SoakConsumer) => number) =>
      String(this.#consumers.reduce((total, consumer) => total + pick(consumer), 0));
    const rows: Record<string, string> = {
      seed: String(seed),
      PostgreSQL: String(PG_MAJOR),
      Node: process.version,
      minutes: minutes.toFixed(1),
      'transactions written': String(this.#writers.reduce((total, { committed }) => total + committed, 0)),
      'transactions delivered': sum(({ check }) => check.transactions),
      'changes delivered': sum(({ check }) => check.changes),
      'messages delivered': sum(({ check }) => check.messages),
      'units delivered again, unacknowledged': sum(({ check }) => check.repeated),
      'checkpoints compared': String(this.#checkpoints),
      streams: sum(({ streams }) => streams),
      reconnects: sum(({ reconnects }) => reconnects),
      'workers restarted': sum(({ workerRestarts }) => workerRestarts),
      ...Object.fromEntries([...this.#faults].sort().map(([name, count]) => [`fault: ${name}`, String(count)])),
      ...figures.rows(),
    };
    const width = Math.max(...Object.keys(rows).map(({ length }) => length));
    for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(width)}  ${value}`);
  }
}

async function flushLsn(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query('SELECT pg_current_wal_flush_lsn() AS lsn');
  return Lsn.parse(rows[0].lsn);
}

function numberFrom(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw new Error(`--${name} ${text} is no number above 0\n${USAGE}`);
  return number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      consumers: { type: 'string', default: '2' },
      writers: { type: 'string', default: '4' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const seed = Math.floor(numberFrom(values.seed, 'seed'));
  console.log(`seed ${seed}`);
  await using server = await EmbeddedServer.start({ major: PG_MAJOR, settings: SERVER_SETTINGS });
  const chronicle = new Chronicle();
  const ends: (() => void)[] = [];
  const scope = { after: (end: () => void) => ends.push(end) };
  try {
    await sql(server, SOAK_SCHEMA);
    let onBroken: (error: unknown) => void = () => {};
    const broken = new Promise<never>((_, reject) => {
      onBroken = reject;
    });
    broken.catch(() => {});
    const consumers: SoakConsumer[] = [];
    for (let number = 0; number < numberFrom(values.consumers, 'consumers'); number++) {
      const slot = `soak_${number}`;
      await sql(server, `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
      const consumer: SoakConsumer = await SoakConsumer.open(
        server,
        slot,
        new Random(seed + 1_000 + number),
        scope,
        (cause) => onBroken(new Error(`${consumer.description}: ${(cause as Error).message}`, { cause })),
      );
      consumers.push(consumer);
    }
    const writers = Array.from(
      { length: numberFrom(values.writers, 'writers') },
      (_, number) => new SoakWriter(server, number, new Random(seed + number)),
    );
    await new Soak(server, new Random(seed), writers, consumers, broken, chronicle).run(
      numberFrom(values.minutes, 'minutes'),
      seed,
    );
  } catch (error) {
    console.error(`broken with seed ${seed}:`, error);
    console.error(`what happened last:\n${chronicle}`);
    const log = (await server.log()).split('\n').filter((line) => /ERROR|FATAL|PANIC/.test(line));
    console.error(`the server's last errors:\n${log.slice(-10).join('\n')}`);
    process.exitCode = 1;
  } finally {
    for (const end of ends) end();
  }
}

await main();
// What hangs after a failure does not keep it from being one.
process.exit();
