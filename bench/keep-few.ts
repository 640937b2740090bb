import type { RowEvent } from '../src/pgoutput/event.js';

/** One row in so many leaves the workers. */
export const KEPT_OF = 100;

/** A transform that has to read every row and keeps few: the id of one in {@link KEPT_OF}. */
export default function keepFew(event: RowEvent): number | undefined {
  if (event.kind !== 'insert') return undefined;
  const id = Number(event.new.id);
  return id % KEPT_OF === 0 ? id : undefined;
}
