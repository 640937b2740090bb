import type { RowEvent } from '../../../src/pgoutput/event.js';

export interface RowsOptions {
  /** The row on which it goes wrong, and how. */
  readonly badId?: number;
  readonly how?: 'throw' | 'quote' | 'exit' | 'hang';
}

function rowOf(event: RowEvent): { id: number; note: string } {
  return ('new' in event ? event.new : (event.key ?? event.old)) as { id: number; note: string };
}

function misbehave({ how }: RowsOptions, note = ''): void {
  if (how === 'quote') throw new RangeError(`what is ${note}?`);
  if (how === 'throw') throw new RangeError('told to throw');
  if (how === 'exit') process.exit(7);
  for (;;);
}

/** Encodes a change. */
export function encode(event: RowEvent, options: RowsOptions): unknown {
  const { id, note } = rowOf(event);
  if (id === options?.badId) misbehave(options, note);
  return `${event.kind} ${event.table} ${id}`;
}

/** Keeps what is even. */
export function even(event: RowEvent): unknown {
  const { id } = rowOf(event);
  return id % 2 === 0 ? id : undefined;
}

/** Later ones come first, if anybody lets them. */
export async function late(event: RowEvent): Promise<unknown> {
  const { id } = rowOf(event);
  if (id % 100 === 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  return id;
}

export function batch(events: readonly RowEvent[]): unknown[] {
  return events.map((event) => rowOf(event).id * 2);
}

export async function badBatch(events: readonly RowEvent[], options: RowsOptions): Promise<unknown[]> {
  for (const event of events) if (rowOf(event).id === options.badId) misbehave(options);
  return batch(events);
}

/** What a row looks like here. */
export function row(event: RowEvent): unknown {
  return rowOf(event);
}

/** The id of an order, the table's name of anything else. */
export function orderId(event: RowEvent): unknown {
  return event.table === 'orders' && event.kind === 'insert' ? event.new.id : event.table;
}
