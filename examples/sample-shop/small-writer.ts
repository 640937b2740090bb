/** A shop that takes an order several times a second; runs in a thread of its own, and says when its tables are there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import pg from 'pg';

const PAUSE_MS = 150;
const TURNS_PER_CART_SWEEP = 10;

const SCHEMA = `
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'sent');
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer text NOT NULL,
  total numeric(10, 2) NOT NULL,
  status order_status NOT NULL DEFAULT 'placed',
  placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE carts (customer text PRIMARY KEY, items jsonb NOT NULL);
CREATE PUBLICATION my_publication FOR TABLE orders, carts;
`;

/** What one order changes; a message for the outbox is part of its transaction. */
const TURN = `
BEGIN;
INSERT INTO carts VALUES ('customer ' || floor(random() * 20), '["book", "pen"]')
  ON CONFLICT (customer) DO UPDATE SET items = carts.items || EXCLUDED.items;
INSERT INTO orders (customer, total) VALUES ('customer ' || floor(random() * 20), random() * 100);
UPDATE orders SET status = 'paid' WHERE id = (SELECT max(id) - 3 FROM orders);
DELETE FROM orders WHERE id = (SELECT max(id) - 50 FROM orders);
SELECT pg_logical_emit_message(true, 'outbox', json_build_object('order', max(id), 'status', 'placed')::text)
  FROM orders;
COMMIT;
`;

const client = new pg.Client(workerData);
await client.connect();
await client.query(SCHEMA);
parentPort?.postMessage('ready');
for (let turn = 1; ; turn++) {
  await client.query(TURN);
  if (turn % TURNS_PER_CART_SWEEP === 0) await client.query('TRUNCATE carts');
  await sleep(PAUSE_MS);
}
