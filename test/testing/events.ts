import assert from 'node:assert/strict';
import type { WalStreamOptions } from '../../src/options.js';
import { WalStream } from '../../src/stream/wal-stream.js';
import { FakeWalSender, type FakeWalSenderOptions, WalTape } from '../../src/testing/index.js';

export const SLOT = 'shop';

/** Far beyond what any of these takes; a hang ends here. */
export const PATIENCE_MS = 20_000;

/** A tape with a table `orders` and one transaction for each number: as many inserts. */
export function ordersTape(...sizes: readonly number[]) {
  const tape = new WalTape();
  const orders = tape.relation({ table: 'orders', columns: { id: 'int8', note: 'text' }, key: ['id'] });
  let id = 0;
  const insert = () => orders.insert({ id: ++id, note: `order ${id}` });
  const transactions = sizes.map((size) => tape.transaction(Array.from({ length: size }, insert)));
  return { tape, orders, transactions, insert };
}

export function sender(wal: FakeWalSenderOptions['wal'], options: Partial<FakeWalSenderOptions> = {}) {
  return FakeWalSender.listen({ wal, slots: [SLOT], publications: [SLOT], ...options });
}

export function streamFrom(from: FakeWalSender, options: Partial<WalStreamOptions> = {}): WalStream {
  return new WalStream({
    connection: from.connectionString(),
    slot: SLOT,
    publications: SLOT,
    workers: 1,
    livenessTimeoutMs: PATIENCE_MS,
    // A fault is to be seen, unless a test asks for more.
    retry: { maxAttempts: 0 },
    ...options,
  });
}

/** Events up to the stop position, as the JSON that a user would write. */
export async function eventsOf(from: FakeWalSender, options: Partial<WalStreamOptions> = {}): Promise<string[]> {
  const events: string[] = [];
  await using stream = streamFrom(from, options);
  for await (const event of stream) events.push(JSON.stringify(event));
  return events;
}

/** The ids of the inserts that a stream gives before it ends or fails, and what it failed with. */
export async function insertsOf(from: FakeWalSender, options: Partial<WalStreamOptions> = {}) {
  const ids: number[] = [];
  await using stream = streamFrom(from, options);
  try {
    for await (const event of stream) if (event.kind === 'insert') ids.push(Number(event.new.id));
  } catch (error) {
    return { ids, error };
  }
  return { ids, error: undefined };
}

export async function failureOf(from: FakeWalSender, options: Partial<WalStreamOptions> = {}): Promise<Error> {
  const { error } = await insertsOf(from, options);
  assert.ok(error instanceof Error, 'the stream fails');
  return error;
}
