import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { CopyBoth } from '../../src/connection/copy-both.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import { startLogicalReplication } from '../../src/protocol/commands.js';
import { type PgoutputRequest, resolvePgoutputOptions } from '../../src/protocol/pgoutput-options.js';
import { XLOG_DATA_HEADER_BYTES, XLOG_DATA_TAG } from '../../src/protocol/replication-message.js';
import { connect, PG_MAJOR } from '../support/server.js';

/*
 * pgoutput as real servers send it, message by message: one workload that has every kind of message in it, read over
 * SQL with several options, and live by walsenders, which alone see streamed transactions before they are rolled back.
 */

export interface RecordedStream {
  readonly title: string;
  readonly messages: readonly Buffer[];
}

const PUBLICATIONS = ['recorded', 'recorded inserts'];
const END_PREFIX = 'the end';
const TIMEOUT_MS = 60_000;
/** Rows of about a kibibyte that exceed logical_decoding_work_mem. */
const MANY = 80;

export const RECORDING_SETTINGS = { logical_decoding_work_mem: '64kB' } as const;

/** For a server with {@link RECORDING_SETTINGS}. */
export async function recordStreams(server: EmbeddedServer): Promise<RecordedStream[]> {
  const client = await connect(server);
  const other = await connect(server);
  const recorders: LiveRecorder[] = [];
  try {
    await client.query(SETUP);
    await createSlot(client, 'plain', false);
    await createSlot(client, 'live', false);
    const streaming = PG_MAJOR >= 16 ? 'parallel' : 'on';
    recorders.push(await LiveRecorder.start(server, 'live', { streaming: 'on' }));
    if (PG_MAJOR >= 15) {
      await createSlot(client, 'prepared', true);
      await createSlot(client, 'live_prepared', true);
      recorders.push(await LiveRecorder.start(server, 'live_prepared', { streaming, twoPhase: true, binary: true }));
    }
    await writeEveryKind(client, other, recorders);
    const live = await Promise.all(recorders.map((recorder) => recorder.finish()));
    const peeked: RecordedStream[] = [];
    for (const [slot, options] of peekedOptions(streaming)) peeked.push(await peek(client, slot, options));
    return [...live, ...peeked];
  } finally {
    for (const recorder of recorders) recorder.destroy();
    await Promise.all([client.end(), other.end()]);
  }
}

function peekedOptions(streaming: string): [slot: string, options: Record<string, string>][] {
  const text = { messages: 'true' };
  const options: [string, Record<string, string>][] = [
    ['plain', { ...text, proto_version: '1' }],
    ['plain', { ...text, proto_version: '1', binary: 'true' }],
    ['plain', { ...text, proto_version: '2', streaming: 'on' }],
    ['plain', { ...text, proto_version: '2', streaming: 'on', binary: 'true' }],
  ];
  if (PG_MAJOR >= 15) options.push(['prepared', { ...text, proto_version: '3', streaming: 'on' }]);
  if (PG_MAJOR >= 16) options.push(['prepared', { ...text, proto_version: '4', streaming, binary: 'true' }]);
  return options;
}

async function createSlot(client: pg.Client, slot: string, twoPhase: boolean): Promise<void> {
  await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, $2)", [slot, twoPhase]);
}

async function peek(client: pg.Client, slot: string, options: Record<string, string>): Promise<RecordedStream> {
  const publicationNames = PUBLICATIONS.map((name) => `"${name}"`).join(',');
  const list = Object.entries({ ...options, publication_names: publicationNames }).flat();
  const { rows } = await client.query<{ data: Buffer }>(
    'SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, VARIADIC $2::text[])',
    [slot, list],
  );
  return { title: `${slot} slot, ${JSON.stringify(options)}`, messages: rows.map(({ data }) => data) };
}

const SETUP = `
  CREATE SCHEMA "größe";
  CREATE TYPE mood AS ENUM ('sad', 'ok');
  CREATE TABLE by_key (id int PRIMARY KEY, n int, body text, mood mood);
  ALTER TABLE by_key ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE whole_row (id int, body text, at timestamptz, bytes bytea, numbers int[], doc jsonb, exact numeric);
  ALTER TABLE whole_row ALTER body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
  CREATE TABLE by_index (a int NOT NULL, b text NOT NULL, catalog_type pg_catalog.pg_tables);
  CREATE UNIQUE INDEX by_index_b_a ON by_index (b, a);
  ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b_a;
  CREATE TABLE nothing (id int);
  ALTER TABLE nothing REPLICA IDENTITY NOTHING;
  CREATE TABLE "größe"."Tab""le ☃" ("__proto__" int PRIMARY KEY, "7" text);
  CREATE TABLE parent (id serial PRIMARY KEY);
  CREATE TABLE child (id serial PRIMARY KEY, parent_id int REFERENCES parent);
  CREATE PUBLICATION recorded FOR TABLE by_key, whole_row, by_index, "größe"."Tab""le ☃", parent, child;
  CREATE PUBLICATION "recorded inserts" FOR TABLE nothing WITH (publish = 'insert');
  SELECT pg_replication_origin_create('elsewhere ☃');
`;

async function writeEveryKind(client: pg.Client, other: pg.Client, recorders: readonly LiveRecorder[]): Promise<void> {
  const many = (table: string, from: number) =>
    `INSERT INTO ${table} (id, body) SELECT n, repeat(md5(n::text), 30) FROM generate_series(${from}, ${from} + ${MANY}) n`;
  /** Writes, until every walsender has sent a part of the transaction in progress. */
  const streamed = async (statements: string) => {
    // They may send as soon as the server flushes, which it does by itself too.
    const seen = recorders.map((recorder) => recorder.blocks);
    await client.query(statements);
    // The commit writes everything before it.
    await other.query("INSERT INTO nothing VALUES (1); SELECT pg_logical_emit_message(false, 'alone', '')");
    await until(() => recorders.every((recorder, at) => recorder.blocks > (seen[at] ?? 0)), 'a streamed block');
  };

  for (const statement of [
    "INSERT INTO by_key VALUES (1, 1, repeat('a', 9000), 'sad'), (2, NULL, '', NULL)",
    `INSERT INTO whole_row VALUES (1, repeat('b', 9000), '2024-02-29 12:00:00.000001+00', '\\x00ff', '{1,NULL,3}',
       '{"a": [1, "☃"]}', 12345.6789)`,
    "INSERT INTO by_index VALUES (1, 'one', ROW('s', 't', 'o', NULL, true, false, true, false))",
    `INSERT INTO "größe"."Tab""le ☃" VALUES (1, 'ü\n"''\\')`,
    'INSERT INTO nothing VALUES (1)',
    'INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)',
    'UPDATE by_key SET n = 2',
    'UPDATE by_key SET id = id + 10',
    "UPDATE whole_row SET at = NULL, exact = 'NaN'",
    "UPDATE by_index SET b = 'two'",
    'DELETE FROM by_key WHERE id = 11; DELETE FROM whole_row; DELETE FROM by_index',
    'TRUNCATE parent RESTART IDENTITY CASCADE',
    'TRUNCATE by_key, whole_row',
    "SELECT pg_logical_emit_message(true, 'with a transaction', 'contents'), pg_logical_emit_message(false, '', '☃')",
    "SELECT pg_replication_origin_session_setup('elsewhere ☃')",
    'BEGIN',
    "SELECT pg_replication_origin_xact_setup('AB/CDEF', now()); INSERT INTO by_key VALUES (3)",
    'COMMIT',
    `BEGIN; ${many('by_key', 1000)}; COMMIT`,
    'SELECT pg_replication_origin_session_reset()',
  ]) {
    await client.query(statement);
  }

  await streamed(`BEGIN; ${many('by_key', 2000)}; SAVEPOINT one; ${many('by_key', 3000)}`);
  await client.query(`ROLLBACK TO one; SELECT pg_logical_emit_message(true, 'streamed', 'contents')`);
  await client.query(`SAVEPOINT two; ${many('by_key', 4000)}; RELEASE two; TRUNCATE child, parent`);
  await streamed(`ALTER TABLE whole_row ADD COLUMN later int DEFAULT 7; ${many('whole_row', 1)}`);
  await client.query(
    "UPDATE whole_row SET later = 8; UPDATE by_key SET mood = 'ok'; DELETE FROM by_key WHERE n IS NULL",
  );
  await client.query('COMMIT');
  await client.query('INSERT INTO whole_row VALUES (1); INSERT INTO by_key VALUES (4)');

  await streamed(`BEGIN; ${many('whole_row', 1000)}`);
  await client.query('ROLLBACK');

  await client.query("BEGIN; INSERT INTO by_key VALUES (5); PREPARE TRANSACTION 'small ☃'");
  await client.query("COMMIT PREPARED 'small ☃'");
  await streamed(`BEGIN; ${many('by_key', 5000)}; PREPARE TRANSACTION 'streamed'`);
  await client.query("COMMIT PREPARED 'streamed'");
  await client.query("BEGIN; INSERT INTO by_key VALUES (6); PREPARE TRANSACTION 'rolled back'");
  await other.query('INSERT INTO nothing VALUES (2)');
  await until(() => recorders.every((recorder) => recorder.hasSeen('P')), 'a prepared transaction');
  await client.query("ROLLBACK PREPARED 'rolled back'");
  await client.query('SELECT pg_logical_emit_message(true, $1, $1)', [END_PREFIX]);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `${what} has not come within ${TIMEOUT_MS} ms`);
    await sleep(10);
  }
}

/** A walsender's messages as they come. */
class LiveRecorder {
  readonly #title: string;
  readonly #twoPhase: boolean;
  readonly #messages: Buffer[] = [];
  #copy: CopyBoth | undefined;
  #error: unknown;
  #blocks = 0;

  private constructor(title: string, twoPhase: boolean) {
    this.#title = title;
    this.#twoPhase = twoPhase;
  }

  static async start(server: EmbeddedServer, slot: string, options: Partial<PgoutputRequest>): Promise<LiveRecorder> {
    const recorder = new LiveRecorder(`live, ${JSON.stringify(options)}`, options.twoPhase ?? false);
    const config = resolveConnectionConfig(server.connectionString());
    const connection = await PgConnection.connect(config, { mode: 'logical' });
    const pgoutput = resolvePgoutputOptions({ publications: PUBLICATIONS, messages: true, ...options });
    const command = startLogicalReplication({ slot, startLsn: 0n, pgoutput }, connection.serverVersion);
    recorder.#copy = await CopyBoth.start(connection, command, {
      onCopyData: (slab, start, end) => {
        if (slab.bytes[start] === XLOG_DATA_TAG) {
          recorder.#add(Buffer.from(slab.bytes.subarray(start + XLOG_DATA_HEADER_BYTES, end)));
        }
      },
      onReadEnd: () => {},
      onSlabEnd: () => {},
      onNotice: () => {},
      onEnd: (error) => {
        recorder.#error = error;
      },
    });
    return recorder;
  }

  /** Streamed blocks so far. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Whether there was a message with the tag; of prepared transactions, only two-phase slots have any. */
  hasSeen(tag: string): boolean {
    return !this.#twoPhase || this.#messages.some((message) => message[0] === tag.charCodeAt(0));
  }

  async finish(): Promise<RecordedStream> {
    // The message, and the commit that follows it.
    await until(() => {
      if (this.#error !== undefined) throw this.#error;
      return this.#messages.at(-2)?.includes(END_PREFIX) ?? false;
    }, this.#title);
    await this.#copy?.finish(TIMEOUT_MS);
    return { title: this.#title, messages: this.#messages };
  }

  destroy(): void {
    this.#copy?.destroy();
  }

  #add(message: Buffer): void {
    this.#messages.push(message);
    if (message[0] === 'S'.charCodeAt(0)) this.#blocks++;
  }
}
