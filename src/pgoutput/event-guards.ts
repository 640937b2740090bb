import type { RowEvent } from './event.js';
import type { EventBase } from './event-base.js';
import type { InsertEvent } from './row-event.js';
import type { TableShape } from './table-types.js';

type Kind = Pick<EventBase, 'kind'>;

/** The row events among `Event`. */
export type RowEventOf<Event> = Extract<Event, { readonly kind: RowEvent['kind'] }>;

/** The tables of the row events among `Event`, as 'schema.table'. */
export type TableNameOf<Event> =
  Event extends InsertEvent<infer Table extends TableShape> ? `${Table['schema']}.${Table['table']}` : never;

/** The row events of one table among `Event`. */
export type ChangeOf<Event, Name extends string> = Name extends `${infer Schema}.${infer Table}`
  ? Event extends { readonly kind: RowEvent['kind']; readonly schema: infer S; readonly table: infer T }
    ? Schema extends S
      ? Table extends T
        ? Event
        : never
      : never
    : never
  : never;

/** Whether an event is a change of a row: insert, update or delete. */
export function isRowEvent<Event extends Kind>(event: Event): event is RowEventOf<Event> {
  return event.kind === 'insert' || event.kind === 'update' || event.kind === 'delete';
}

/** Whether an event is a change of a row of this table, 'schema.table' as in the catalog. */
export function isChangeOf<Event extends Kind, const Name extends TableNameOf<Event>>(
  event: Event,
  name: Name,
): event is Event & ChangeOf<Event, Name> {
  if (!isRowEvent(event)) return false;
  const { schema, table } = event as Kind as RowEvent;
  // Called for every event of a stream: nothing is put together for it.
  return (
    name.length === schema.length + 1 + table.length &&
    name[schema.length] === '.' &&
    name.startsWith(schema) &&
    name.endsWith(table)
  );
}
