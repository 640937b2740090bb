import { ACCOUNT_COUNT } from './demo-schema.js';
import { DEMO_PREFIX } from './writer-messages.js';

/** Rows that a bulk insert writes. */
const BULK_ROWS = 500;
/** Orders of a writer that are kept. */
const KEPT_ORDERS = 200;

/** One transaction of a writer. */
export interface Transaction {
  readonly sql: string;
  /** Row changes that it makes, about. */
  readonly changes: number;
  /** Numbered rows that it inserts: the writer's sequence moves on by these. */
  readonly numbered: number;
}

/** A writer that does its n-th turn, and the number of the row that it inserted last. */
export interface WriterState {
  readonly writer: number;
  readonly turn: number;
  readonly sequence: number;
}

/** What one turn of a writer does: much in bulk, and a little of everything else. */
export function transactionsOfTurn(state: WriterState): readonly Transaction[] {
  const { writer, turn } = state;
  const transactions = [bulkInsert(state)];
  let { sequence } = state;
  const add = (transaction: Transaction) => {
    transactions.push(transaction);
    sequence += transaction.numbered;
  };
  sequence += BULK_ROWS;
  for (let order = 0; order < 3; order++) add(placeOrder({ writer, turn: turn * 3 + order, sequence }));
  if (turn % 4 === 1) add(shipOrders(writer));
  if (turn % 8 === 3) add(deleteOldOrders(writer, sequence));
  if (turn % 8 === 5) add(changeOfMind({ writer, turn, sequence }));
  if (turn % 16 === 7) add(note(writer, turn, turn % 32 === 7));
  return transactions;
}

/** The first transaction of all: one of each kind, so that there is something to see at once. */
export function firstTransaction(writer: number): Transaction {
  return {
    sql: `BEGIN;
      ${insertOrder(writer, 1, 7)};
      UPDATE accounts SET balance = balance - 99.50, version = version + 1, updated_at = now() WHERE id = 7;
      DELETE FROM orders WHERE writer = ${writer} AND sequence = 1;
      SELECT pg_logical_emit_message(true, '${DEMO_PREFIX}', 'the writers have begun');
      COMMIT`,
    changes: 3,
    numbered: 1,
  };
}

/** Also what keeps the demo from filling the disk. */
export const TRUNCATE_EVENTS: Transaction = { sql: 'TRUNCATE events', changes: 1, numbered: 0 };

function bulkInsert({ writer, turn, sequence }: WriterState): Transaction {
  return {
    sql: `INSERT INTO events
      SELECT ${writer}, ${sequence} + i, (ARRAY['click', 'view', 'search', 'purchase'])[1 + i % 4],
        jsonb_build_object('session', ${turn}, 'item', i, 'tags', '["new", "sale"]'::jsonb),
        CASE WHEN i % 5 > 0 THEN sqrt(i) END, clock_timestamp()
      FROM generate_series(1, ${BULK_ROWS}) i`,
    changes: BULK_ROWS,
    numbered: BULK_ROWS,
  };
}

function placeOrder({ writer, turn, sequence }: WriterState): Transaction {
  const account = 1 + ((turn * 37 + writer * 11) % ACCOUNT_COUNT);
  return {
    sql: `BEGIN;
      UPDATE accounts SET balance = balance - 12.34, version = version + 1, updated_at = now() WHERE id = ${account};
      ${insertOrder(writer, sequence + 1, account)};
      COMMIT`,
    changes: 2,
    numbered: 1,
  };
}

function insertOrder(writer: number, sequence: number, account: number): string {
  return `INSERT INTO orders (writer, sequence, account_id, total, status, items, note) VALUES (${writer}, ${sequence},
    ${account}, ${(sequence % 900) + 0.95}, 'placed', '[{"sku": "A-${account}", "quantity": ${1 + (sequence % 5)}}]',
    ${sequence % 3 === 0 ? 'NULL' : `'to be left at № ${account}'`})`;
}

function shipOrders(writer: number): Transaction {
  return {
    sql: `UPDATE orders SET status = 'shipped' WHERE writer = ${writer} AND status = 'placed'`,
    changes: 12,
    numbered: 0,
  };
}

/** Orders are about one in 170 of the numbered rows. */
function deleteOldOrders(writer: number, sequence: number): Transaction {
  return {
    sql: `DELETE FROM orders WHERE writer = ${writer} AND sequence < ${sequence - KEPT_ORDERS * 170}`,
    changes: 24,
    numbered: 0,
  };
}

/** Is rolled back, so that none of it may ever be seen. */
function changeOfMind({ writer, sequence }: WriterState): Transaction {
  return { sql: `BEGIN; ${insertOrder(writer, sequence + 1_000_000, 1)}; ROLLBACK`, changes: 0, numbered: 0 };
}

function note(writer: number, turn: number, transactional: boolean): Transaction {
  return {
    sql: `SELECT pg_logical_emit_message(${transactional}, '${DEMO_PREFIX}', 'writer ${writer}, turn ${turn}')`,
    changes: 0,
    numbered: 0,
  };
}
