import type { RowEvent } from '../../../src/pgoutput/event.js';
import { UNCHANGED } from '../../../src/types/unchanged.js';

/** What crosses between threads unchanged, by name. */
export const VALUES: Readonly<Record<string, unknown>> = {
  null: null,
  true: true,
  zero: 0,
  small: 63,
  'a record id to msgpackr': 64,
  'the last record id': 127,
  negative: -33,
  large: 2 ** 53 - 1,
  fraction: 0.1,
  nan: Number.NaN,
  infinity: Number.NEGATIVE_INFINITY,
  bigint: 9_007_199_254_740_993n,
  'least bigint': -(2n ** 63n),
  'small bigint': 1n,
  'unsigned bigint': 2n ** 64n - 1n,
  'huge bigint': -(2n ** 90n),
  unchanged: UNCHANGED,
  'unchanged in a value': { a: [UNCHANGED, { b: UNCHANGED, c: 1n }], d: new Date(1) },
  date: new Date(Date.UTC(2024, 1, 29, 1, 2, 3, 456)),
  'early date': new Date(Date.UTC(1582, 9, 4)),
  bytes: Buffer.from([0, 1, 254, 255]),
  'no bytes': Buffer.alloc(0),
  text: 'größe 😀',
  'empty text': '',
  'long text': 'x'.repeat(70_000),
  array: [1, [2n, [null, 'x']], []],
  nested: { a: { b: [{ c: new Date(0), d: Buffer.of(7) }] }, e: 64 },
  'no properties': {},
  'numeric names': { 1: 'one', 0: 'zero' },
};

/** What cannot leave a worker. */
const FUNCTIONS: Readonly<Record<string, unknown>> = {
  function: () => 1,
  'a function within': { a: [() => 1] },
  symbol: Symbol('s'),
};

export function functionNamed(event: RowEvent): unknown {
  return FUNCTIONS[String(noteOf(event))];
}

/** A thenable that is no promise, as query builders are. */
export function thenable(event: RowEvent): unknown {
  // biome-ignore lint/suspicious/noThenProperty: it is what is tested
  return { then: (resolve: (value: unknown) => void) => resolve(`then ${String(noteOf(event))}`) };
}

/** The value that the row's text column names. */
export default function valueNamed(event: RowEvent): unknown {
  return VALUES[String(noteOf(event))];
}

/** All the row has, as it is: what a filter gives back. */
export function newRow(event: RowEvent): unknown {
  return 'new' in event ? event.new : undefined;
}

/** Where the event says it stands. */
export function position({ kind, schema, table, ordinal, xid, commitLsn, lsn }: RowEvent): unknown {
  return { kind, table: `${schema}.${table}`, ordinal, xid, commitLsn, lsn };
}

/** Keeps even rows, later than the odd ones are dropped, as the options say. */
export async function evenLater(event: RowEvent, options: { delayMs: number; factor: number }): Promise<unknown> {
  const { ordinal = 0 } = event;
  if (ordinal % 2 === 1) return undefined;
  await new Promise((resolve) => setTimeout(resolve, Math.random() * options.delayMs));
  return ordinal * options.factor;
}

/** One value for each event of a batch: how many there are, and the first is dropped. */
export function countBatch(events: readonly RowEvent[]): unknown[] {
  return events.map((_, at) => (at === 0 ? undefined : { at, of: events.length }));
}

export function tooFew(): unknown[] {
  return [];
}

export function unpackable(): unknown {
  return { value: Symbol('no value') };
}

function noteOf(event: RowEvent): unknown {
  return 'new' in event ? event.new.note : event.identity?.note;
}
