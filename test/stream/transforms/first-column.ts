import type { RowEvent } from '../../../src/pgoutput/event.js';

/** The id of every row; rows of which nothing is left are dropped. */
export default function firstColumn(event: RowEvent): unknown {
  return event.identity?.id;
}
