import type { Client } from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { connect } from './server.js';
import type { Random } from './workload.js';

/*
 * Transactions that outgrow logical_decoding_work_mem = 64kB, so that a server that may stream them does: interleaved,
 * with savepoints that are rolled back, and with tables that are altered on the way.
 */

export const LARGE_PUBLICATION = 'large';
/** Some 40 kB of WAL. */
const ROWS_PER_STEP = 120;

export async function createLargeSchema(client: Client): Promise<void> {
  await client.query(`
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE plain (id int PRIMARY KEY, note text, feeling mood);
    CREATE TABLE whole (id int PRIMARY KEY, note text);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE altered (id int PRIMARY KEY, note text, extra int);
    CREATE TABLE emptied (id int PRIMARY KEY, note text);
    CREATE PUBLICATION ${LARGE_PUBLICATION} FOR ALL TABLES`);
}

/** Everything but what is in the other functions, which not every major has. */
export async function runLargeTransactions(server: EmbeddedServer, random: Random): Promise<void> {
  await interleave(server, 20, random);
  const client = await connect(server);
  try {
    await alterBetweenAndInside(client);
    await nestSavepoints(client);
    await abortWhole(client);
    await truncateInside(client);
    await fromElsewhere(client);
    // Larger than any batch: it cannot be put together without being kept somewhere meanwhile.
    await insertMany(client, 'plain', 10_000);
  } finally {
    await client.end();
  }
}

let nextId = 1;

/** Ids that nobody else writes. */
function takeIds(count: number): number {
  const first = nextId;
  nextId += count;
  return first;
}

export async function insertMany(client: Client, table: 'plain' | 'whole', rows = ROWS_PER_STEP): Promise<number> {
  const first = takeIds(rows);
  await client.query(
    `INSERT INTO ${table} SELECT g, rpad(g::text, 200, '.') FROM generate_series(${first}, ${first + rows - 1}) g`,
  );
  return first;
}

/** Transactions that take turns, each with changes of every kind and savepoints kept and rolled back. */
async function interleave(server: EmbeddedServer, transactions: number, random: Random): Promise<void> {
  const clients = await Promise.all(Array.from({ length: transactions }, () => connect(server)));
  try {
    for (const client of clients) await client.query('BEGIN');
    for (let step = 0; step < 5; step++) {
      for (const client of clients) {
        const savepoint = `s${step}`;
        const rolledBack = random.chance(0.4);
        await client.query(`SAVEPOINT ${savepoint}`);
        const first = await insertMany(client, random.chance(0.5) ? 'plain' : 'whole');
        await client.query(`UPDATE plain SET note = note || 'x' WHERE id BETWEEN ${first} AND ${first + 20}`);
        await client.query(`UPDATE whole SET note = 'y' WHERE id BETWEEN ${first} AND ${first + 20}`);
        await client.query(`DELETE FROM plain WHERE id BETWEEN ${first + 10} AND ${first + 30}`);
        if (!rolledBack) await client.query(`SELECT pg_logical_emit_message(true, 'inside', '${first}')`);
        await client.query(`SELECT pg_logical_emit_message(false, 'alone', '${first}')`);
        if (rolledBack) await client.query(`ROLLBACK TO ${savepoint}`);
        else if (random.chance(0.5)) await client.query(`RELEASE ${savepoint}`);
      }
    }
    for (const client of clients) await client.query(random.chance(0.25) ? 'ROLLBACK' : 'COMMIT');
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function insertAltered(client: Client, values: string): Promise<void> {
  const first = takeIds(ROWS_PER_STEP);
  const range = `generate_series(${first}, ${first + ROWS_PER_STEP - 1}) g`;
  await client.query(`INSERT INTO altered SELECT g, ${values} FROM ${range}`);
}

/** Add, drop, rename and change the type of columns; rolled back and committed; seen from outside in between. */
async function alterBetweenAndInside(client: Client): Promise<void> {
  const note = "rpad(g::text, 200, '.')";
  await client.query('BEGIN');
  await insertAltered(client, `${note}, 1`);
  await client.query('ALTER TABLE altered ADD COLUMN added timestamptz');
  await insertAltered(client, `${note}, 2, '2020-01-01'`);
  await client.query('ALTER TABLE altered RENAME COLUMN extra TO renamed');
  await insertAltered(client, `${note}, 3, '2020-01-02'`);
  await client.query('ALTER TABLE altered ALTER COLUMN renamed TYPE text');
  await insertAltered(client, `${note}, 'four', '2020-01-02'`);
  await client.query('ALTER TABLE altered DROP COLUMN added');
  await insertAltered(client, `${note}, 'five'`);
  await client.query('COMMIT');
  // The server regards what it described in the streamed transaction as described now.
  await client.query(`INSERT INTO altered VALUES (${takeIds(1)}, 'after', 'six')`);

  await client.query('BEGIN');
  await insertAltered(client, `${note}, 'seven'`);
  await client.query('ALTER TABLE altered RENAME COLUMN renamed TO twice');
  await insertAltered(client, `${note}, 'eight'`);
  await client.query('ROLLBACK');
  // ... and here it describes the table again.
  await client.query(`INSERT INTO altered VALUES (${takeIds(1)}, 'after', 'nine')`);

  await client.query('BEGIN');
  await insertAltered(client, `${note}, 'ten'`);
  await client.query('SAVEPOINT s');
  await client.query('ALTER TABLE altered RENAME COLUMN note TO remark');
  await insertAltered(client, `${note}, 'eleven'`);
  await client.query('ROLLBACK TO s');
  await insertAltered(client, `${note}, 'twelve'`);
  await client.query('COMMIT');
  await client.query(`INSERT INTO altered VALUES (${takeIds(1)}, 'after', 'thirteen')`);
}

/** Savepoints in savepoints; those within one that is rolled back go with it, and are not named to the application. */
async function nestSavepoints(client: Client): Promise<void> {
  await client.query('BEGIN');
  for (const depth of [1, 2, 3, 4, 5]) {
    await client.query(`SAVEPOINT s${depth}`);
    await insertMany(client, 'plain');
  }
  await client.query('RELEASE s5');
  await client.query('ROLLBACK TO s3');
  await insertMany(client, 'whole');
  await client.query('RELEASE s2');
  await insertMany(client, 'plain');
  await client.query('SAVEPOINT again');
  await insertMany(client, 'plain');
  await client.query('ROLLBACK TO again');
  await insertMany(client, 'plain');
  await client.query('COMMIT');
}

async function abortWhole(client: Client): Promise<void> {
  await client.query('BEGIN');
  for (let step = 0; step < 3; step++) {
    await client.query(`SAVEPOINT s${step}`);
    await insertMany(client, 'plain');
  }
  await client.query('ROLLBACK');
}

async function truncateInside(client: Client): Promise<void> {
  await client.query('BEGIN');
  await insertMany(client, 'plain');
  await client.query('TRUNCATE emptied RESTART IDENTITY');
  await client.query('SAVEPOINT s');
  await client.query('TRUNCATE emptied CASCADE');
  await insertMany(client, 'plain');
  await client.query('ROLLBACK TO s');
  await insertMany(client, 'plain');
  await client.query('COMMIT');
}

/** Replicated from another server: it begins without a position, and its origin lies in its first block. */
async function fromElsewhere(client: Client): Promise<void> {
  await client.query(`SELECT pg_replication_origin_create('elsewhere')`);
  await client.query(`SELECT pg_replication_origin_session_setup('elsewhere')`);
  for (const end of ['COMMIT', 'ROLLBACK', 'COMMIT']) {
    await client.query('BEGIN');
    await client.query(`SELECT pg_replication_origin_xact_setup('AB/CDEF', '2024-01-02')`);
    for (let step = 0; step < 3; step++) await insertMany(client, 'plain');
    await client.query(end);
  }
  await client.query('SELECT pg_replication_origin_session_reset()');
}

/** Prepared transactions, small and streamed, committed and rolled back, with other transactions in between. */
export async function runPreparedTransactions(server: EmbeddedServer): Promise<void> {
  const client = await connect(server);
  try {
    const gids: string[] = [];
    for (const [at, steps] of [0, 2, 5, 0, 5, 3].entries()) {
      const gid = `the ${at}th "gid"`;
      await client.query('BEGIN');
      await insertMany(client, 'whole', 3);
      for (let step = 0; step < steps; step++) {
        await client.query(`SAVEPOINT s${step}`);
        await insertMany(client, 'plain');
        await client.query(`SELECT pg_logical_emit_message(true, 'prepared', '${gid}')`);
        if (step === 1) await client.query(`SAVEPOINT back`);
        if (step === 1) await insertMany(client, 'plain');
        if (step === 1) await client.query(`ROLLBACK TO back`);
      }
      await client.query(`PREPARE TRANSACTION '${gid}'`);
      gids.push(gid);
      await insertMany(client, 'whole', 2);
    }
    for (const [at, gid] of gids.entries()) {
      await client.query(`${at % 3 === 1 ? 'ROLLBACK' : 'COMMIT'} PREPARED '${gid}'`);
      await insertMany(client, 'whole', 2);
    }
    await client.query('BEGIN');
    await insertMany(client, 'whole', 2);
    await client.query(`PREPARE TRANSACTION 'rolled back at once'`);
    await client.query(`ROLLBACK PREPARED 'rolled back at once'`);
  } finally {
    await client.end();
  }
}
