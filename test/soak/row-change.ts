import type { RowEvent } from '../../src/index.js';
import type { RowChange } from './replica.js';

/** What a consumer keeps of a row event. */
export function rowChangeFrom(event: RowEvent): Pick<RowChange, 'new' | 'identity'> {
  return { new: event.kind === 'delete' ? undefined : event.new, identity: event.identity };
}

/**
 * The same as a transform, in a worker that may be killed in the middle of it.
 *
 * @param kills how many workers are to end: shared, so that a worker ends once
 */
export function transform(event: RowEvent, { kills }: { readonly kills: Int32Array }): unknown {
  if (Atomics.load(kills, 0) > 0 && Atomics.sub(kills, 0, 1) > 0) process.exit(1);
  return rowChangeFrom(event);
}
