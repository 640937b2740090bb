import type { RowEvent } from '../pgoutput/event.js';
import {
  EVENT_CODE_MASK,
  EVENT_WORDS,
  EventFlag,
  EventWord,
  isRowCode,
  SUBXID_BYTES,
} from '../pgoutput/packed-batch.js';
import type { TranscodeResult } from '../pgoutput/transcoder.js';
import { type BatchPosition, WalBatch } from '../pgoutput/wal-batch.js';
import { PackWriter } from '../types/pack-writer.js';
import type { TransformFailure } from './decode-task.js';
import { encodeError } from './error-codec.js';
import type { BatchTransform, ChangeTransform } from './transform.js';
import { packValue } from './value-codec.js';

const INITIAL_VALUE_BYTES = 64 * 1024;

/** What a transform made of a packed batch: its events with values in place of rows. */
export interface TransformedBatch {
  /** Up to the change on which it failed. */
  readonly index: Uint32Array;
  readonly data: Uint8Array;
  readonly failure: TransformFailure | undefined;
}

/** Runs a user's function over the row changes of packed batches. */
export class TransformRunner {
  readonly #transform: ChangeTransform | BatchTransform;
  readonly #per: 'change' | 'batch';
  readonly #options: unknown;

  constructor(transform: ChangeTransform | BatchTransform, per: 'change' | 'batch', options: unknown) {
    this.#transform = transform;
    this.#per = per;
    this.#options = options;
  }

  /**
   * `packed.index` is rewritten in place. The events before a failure are given together with it; a function of whole
   * batches fails on the first change, since none of the batch has a value then.
   */
  async run(packed: TranscodeResult, position: BatchPosition): Promise<TransformedBatch> {
    const events = rowEvents(packed, position);
    const out = new PackWriter(INITIAL_VALUE_BYTES);
    const { index, data } = packed;
    let values: readonly unknown[] | undefined;
    let at = 0;
    let row = 0;
    try {
      for (; at < index.length; at += EVENT_WORDS) {
        if ((index[at] & EventFlag.streamed) !== 0) {
          const rows = index[at + EventWord.oldStart];
          append(out, data.subarray(rows - SUBXID_BYTES, rows));
        }
        const start = out.position;
        if ((index[at] & EventFlag.dropped) !== 0) {
          // A validator has dropped it: it is none of the events.
        } else if (isRowCode(index[at] & EVENT_CODE_MASK)) {
          if (this.#per === 'batch') values ??= await this.#transformBatch(events);
          let value = values === undefined ? this.#transformChange(events[row]) : values[row];
          // Only what is a promise is awaited: a tick per change would cost more than most transforms.
          if (isThenable(value)) value = await value;
          if (value === undefined) index[at] |= EventFlag.dropped;
          else append(out, packValue(value));
          row++;
        } else {
          append(out, data.subarray(index[at + EventWord.newStart], index[at + EventWord.end]));
        }
        index[at + EventWord.oldStart] = start;
        index[at + EventWord.newStart] = start;
        index[at + EventWord.end] = out.position;
      }
      return { index, data: out.take(), failure: undefined };
    } catch (error) {
      return { index: index.subarray(0, at), data: out.take(), failure: failureAt(events[row], error) };
    }
  }

  #transformChange(event: RowEvent): unknown {
    return (this.#transform as ChangeTransform)(event, this.#options);
  }

  async #transformBatch(events: readonly RowEvent[]): Promise<readonly unknown[]> {
    const values = await (this.#transform as BatchTransform)(events, this.#options);
    if (!Array.isArray(values) || values.length !== events.length) {
      throw new TypeError(`the batch transform must return an array of ${events.length} values`);
    }
    return values;
  }
}

/** Query builders are thenables too. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as Partial<PromiseLike<unknown>>).then === 'function'
  );
}

function rowEvents(packed: TranscodeResult, position: BatchPosition): RowEvent[] {
  const events: RowEvent[] = [];
  for (const event of new WalBatch(position, packed)) {
    if (event.kind === 'insert' || event.kind === 'update' || event.kind === 'delete') events.push(event);
  }
  return events;
}

function append(out: PackWriter, bytes: Uint8Array): void {
  out.reserve(bytes.length);
  out.bytes.set(bytes, out.position);
  out.position += bytes.length;
}

function failureAt(event: RowEvent | undefined, error: unknown): TransformFailure {
  return {
    by: 'transform',
    error: encodeError(error),
    lsn: event?.lsn,
    relation: event === undefined ? undefined : `${event.schema}.${event.table}`,
    ordinal: event?.ordinal,
  };
}
