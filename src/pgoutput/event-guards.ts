import type { RowEvent } from './event.js';

/** The row events among `Event`. */
export type RowEventOf<Event> = Extract<Event, { readonly kind: RowEvent['kind'] }>;

/** The tables of the row events among `Event`, as 'schema.table'. */
export type TableNameOf<Event> = Event extends {
  readonly kind: 'insert';
  readonly schema: infer Schema extends string;
  readonly table: infer Table extends string;
}
  ? `${Schema}.${Table}`
  : never;

/**
 * The row events of one table among `Event`. One condition for each event: compilers take long over more where there are
 * hundreds of tables.
 */
export type ChangeOf<Event, Name extends string> = Event extends {
  readonly kind: RowEvent['kind'];
  readonly schema: infer Schema extends string;
  readonly table: infer Table extends string;
}
  ? Name extends `${Schema}.${Table}`
    ? Event
    : never
  : never;

/** Whether an event is a change of a row: insert, update or delete. */
export function isRowEvent<Event extends { readonly kind: string }>(event: Event): event is RowEventOf<Event> {
  return event.kind === 'insert' || event.kind === 'update' || event.kind === 'delete';
}

/** Whether an event is a change of a row of this table, 'schema.table' as in the catalog. */
export function isChangeOf<Event extends { readonly kind: string }, const Name extends TableNameOf<Event>>(
  event: Event,
  name: Name,
): event is ChangeOf<Event, Name> {
  if (!isRowEvent(event)) return false;
  const { schema, table } = event as { readonly kind: string } as RowEvent;
  // Called for every event of a stream: nothing is put together for it.
  return (
    name.length === schema.length + 1 + table.length &&
    name[schema.length] === '.' &&
    name.startsWith(schema) &&
    name.endsWith(table)
  );
}
