/**
 * A program that applies a slot to another database, changes and position in one SQL transaction; to be killed. Says
 * `applied` after each item, ends at `stopLsn` where one is given.
 */
import pg from 'pg';
import { AppliedPosition, type ChangeEvent, type TransactionItem, UNCHANGED, WalStream } from '../../src/index.js';

const [, , source = '', sink = '', slot = '', streaming = '', stopLsn = ''] = process.argv;

/** What is written besides the change itself: each must be there once. */
const AUDIT = 'WITH audited AS (INSERT INTO audit VALUES ($1, $2))';

async function write(client: pg.Client, change: ChangeEvent): Promise<void> {
  if (change.kind === 'message' || change.kind === 'truncate') return;
  const audit = [change.commitLsn, change.ordinal];
  const table = pg.escapeIdentifier(change.table);
  const values: unknown[] = [...audit];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const row = change.kind === 'delete' ? [] : Object.entries(change.new).filter(([, value]) => value !== UNCHANGED);
  const where = () => {
    const identity = Object.entries(change.identity ?? {});
    return identity
      .map(([name, value]) => `${pg.escapeIdentifier(name)} IS NOT DISTINCT FROM ${parameter(value)}`)
      .join(' AND ');
  };
  const names = row.map(([name]) => pg.escapeIdentifier(name));
  const given = row.map(([, value]) => parameter(value));
  switch (change.kind) {
    case 'insert':
      await client.query(`${AUDIT} INSERT INTO ${table} (${names}) VALUES (${given})`, values);
      return;
    case 'update': {
      const assignments = names.map((name, at) => `${name} = ${given[at]}`);
      await client.query(`${AUDIT} UPDATE ${table} SET ${assignments} WHERE ${where()}`, values);
      return;
    }
    case 'delete':
      await client.query(`${AUDIT} DELETE FROM ${table} WHERE ${where()}`, values);
      return;
    default:
      change satisfies never;
  }
}

async function writeItem(client: pg.Client, item: TransactionItem): Promise<void> {
  if (item.kind === 'message') await client.query('INSERT INTO messages VALUES ($1)', [item.content.toString()]);
  if (item.kind !== 'transaction') return;
  for await (const change of item.changes) await write(client, change);
}

const client = new pg.Client({ connectionString: sink });
await client.connect();
const position = await AppliedPosition.open(client, { slot });
const stream = new WalStream({
  connection: source,
  slot,
  publications: slot,
  messages: true,
  streaming: streaming === 'on' ? 'on' : 'off',
  spill: { memoryBytes: 64 * 1024 },
  workers: 1,
  // The walsender of the one that was killed may still have the slot.
  retry: { minDelayMs: 5, maxDelayMs: 50 },
  feedbackIntervalMs: 20,
  startLsn: position.lsn,
  beforeIdleAck: (lsn) => position.advance(lsn),
  ...(stopLsn !== '' && { stopLsn: BigInt(stopLsn) }),
});
for await (const item of stream.transactions()) {
  await position.apply(item, (client) => writeItem(client, item));
  process.stdout.write('applied\n');
}
await client.end();
