import { MessageTag } from '../pgoutput/message-tag.js';
import type { OpenTransaction } from '../pgoutput/transaction-context.js';
import type { AckFrontier } from './ack-frontier.js';
import type { StreamedUnits } from './streamed-units.js';
import { type TransactionPart, TransactionReplay } from './transaction-replay.js';

/** What the consumer was given when the connection was lost. */
export interface Delivered {
  /** Units of acknowledgement, counted over the stream. */
  readonly units: number;
  /** Of the unit after them. */
  readonly part: TransactionPart | undefined;
  /** Transactions of which it was given blocks and no end, and whether it is in such a block. */
  readonly streamed: readonly number[];
  readonly block: number | undefined;
}

/**
 * From which unit on the stream comes again: the first that the consumer has not acknowledged. With `ack: 'auto'` it will
 * have acknowledged whatever it was given whole, as soon as it comes back.
 */
export function stepBackUnit(delivered: number, firstUnfinished: number, ack: 'auto' | 'manual'): number {
  return ack === 'manual' ? firstUnfinished : Math.max(delivered, firstUnfinished);
}

/**
 * What becomes of a message that comes after the stream has stepped back: it is passed over, because its unit was
 * acknowledged; delivered again; or delivered for the first time.
 */
export type Fate = 'pass' | 'again' | 'new';

/** Bytes of a Stream Start or Stream Abort up to the end of its xid. */
const XID_END = 5;

/**
 * Tells, message by message, what the consumer was given before from what it was not. Blocks of streamed transactions
 * come in another form each time and count as neither; those of an acknowledged one are passed over.
 */
export class Redelivery {
  readonly #frontier: AckFrontier;
  readonly #units: number;
  readonly #part: TransactionReplay | undefined;
  readonly #streamedUnits: StreamedUnits;
  #fate: Fate = 'new';
  #inPart = false;

  constructor({ units, part }: Pick<Delivered, 'units' | 'part'>, frontier: AckFrontier, streamedUnits: StreamedUnits) {
    this.#frontier = frontier;
    this.#units = units;
    this.#part = part === undefined ? undefined : TransactionReplay.from({ ...part });
    this.#streamedUnits = streamedUnits;
  }

  /** Whether everything has come again that is to. */
  get isOver(): boolean {
    const { nextUnit } = this.#frontier;
    if (this.#inPart || nextUnit < this.#units) return false;
    return nextUnit > this.#units || this.#part === undefined || this.#part.begun;
  }

  /** The message at `[start, end)` comes next, inside of `transaction`. */
  judge(bytes: Buffer, start: number, end: number, transaction: OpenTransaction | undefined): Fate {
    const tag = bytes[start];
    if (transaction?.kind === 'streamed') return this.#fate;
    if (transaction !== undefined) {
      if (this.#inPart && this.#part?.passes(tag) !== true) {
        this.#inPart = false;
        this.#fate = 'new';
      }
      return this.#fate;
    }
    this.#fate = this.#judgeOutside(tag, bytes, start, end);
    return this.#fate;
  }

  /** A transaction has begun; ProtocolError when it is not the one that the consumer was given a part of. */
  begin(transaction: OpenTransaction): void {
    if (this.#frontier.nextUnit !== this.#units || this.#part === undefined) return;
    this.#part.begin(transaction);
    this.#inPart = true;
  }

  /** A unit is about to end; ProtocolError when less of it came than the consumer was given. */
  end(endLsn: bigint): void {
    if (this.#frontier.nextUnit === this.#units && this.#part?.begun === true) this.#part.end(endLsn);
  }

  #judgeOutside(tag: number, bytes: Buffer, start: number, end: number): Fate {
    const { nextUnit } = this.#frontier;
    switch (tag) {
      case MessageTag.begin:
      case MessageTag.beginPrepare:
        // Its first message was delivered, if anything of it was.
        return nextUnit === this.#units && this.#part !== undefined ? 'again' : this.#fateOf(nextUnit);
      case MessageTag.streamCommit:
      case MessageTag.streamPrepare:
      case MessageTag.commitPrepared:
      case MessageTag.rollbackPrepared:
      case MessageTag.message:
        return this.#fateOf(nextUnit);
      case MessageTag.streamStart:
      case MessageTag.streamAbort: {
        const isFinished = end - start >= XID_END && this.#streamedUnits.isFinished(bytes.readUInt32BE(start + 1));
        return isFinished ? 'pass' : this.#fateOf(this.#units);
      }
      default:
        return 'new';
    }
  }

  #fateOf(unit: number): Fate {
    if (unit >= this.#units) return 'new';
    return this.#frontier.isFinished(unit) ? 'pass' : 'again';
  }
}
