import { isTransactional, parseBegin } from '../pgoutput/control-message.js';
import type { WalEvent } from '../pgoutput/event.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import { parseBeginPrepare, parsePrepare } from '../pgoutput/prepared-message.js';
import { parseStreamAbort, parseStreamCommit, parseStreamStart } from '../pgoutput/stream-message.js';
import type { CutBatch } from './cut-batch.js';
import type { RawMessage } from './raw-batch.js';
import type { Delivered } from './redelivery.js';
import type { TransactionPart } from './transaction-replay.js';

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/**
 * How far a consumer was given the stream, to the single change. What is given again after the stream stepped back does
 * not take it back.
 */
export class DeliveredMark implements Delivered {
  #units = 0;
  /** Furthest in the unit after them. */
  #part: Mutable<TransactionPart> | undefined;
  /** In the transaction that the consumer is in now. */
  #walk: Mutable<TransactionPart> | undefined;
  readonly #streamed = new Set<number>();
  #block: number | undefined;

  get units(): number {
    return this.#units;
  }

  get part(): TransactionPart | undefined {
    return this.#part;
  }

  get streamed(): readonly number[] {
    return [...this.#streamed];
  }

  get block(): number | undefined {
    return this.#block;
  }

  /** The stream has stepped back: the consumer is in nothing. */
  stepBack(): void {
    this.#walk = undefined;
    this.#streamed.clear();
    this.#block = undefined;
  }

  /** Units that the consumer has now, when it takes them whole. */
  reach(units: number): void {
    if (units <= this.#units) return;
    this.#units = units;
    this.#part = undefined;
  }

  /** The consumer has an event; `units` ended with it and before it. */
  event(event: WalEvent, units: number): void {
    switch (event.kind) {
      case 'begin':
        this.#begin(event.commitLsn, event.xid);
        break;
      case 'beginPrepare':
        this.#begin(event.prepareLsn, event.xid);
        break;
      case 'commit':
      case 'prepare':
        this.#walk = undefined;
        break;
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        // Counted from the ordinal: a transform may have dropped some. In a block there is none.
        if (this.#walk !== undefined && event.ordinal !== undefined) this.#walk.changes = event.ordinal + 1;
        break;
      case 'message':
        if (this.#walk !== undefined && event.transactional && this.#block === undefined) this.#walk.messages++;
        break;
      case 'origin':
        if (this.#walk !== undefined && this.#block === undefined) this.#walk.origin = true;
        break;
      case 'streamStart':
        this.#streamed.add(event.xid);
        this.#block = event.xid;
        break;
      case 'streamStop':
        this.#block = undefined;
        break;
      case 'streamCommit':
      case 'streamPrepare':
        this.#streamed.delete(event.xid);
        break;
      case 'streamAbort':
        if (event.xid === event.subxid) this.#streamed.delete(event.xid);
        break;
      case 'relation':
      case 'type':
      case 'commitPrepared':
      case 'rollbackPrepared':
        break;
      default:
        event satisfies never;
    }
    this.#advance(units);
  }

  /** The same of an undecoded message. */
  raw({ data }: RawMessage, units: number): void {
    const end = data.length;
    const walk = this.#block === undefined ? this.#walk : undefined;
    switch (data[0]) {
      case MessageTag.begin: {
        const { commitLsn, xid } = parseBegin(data, 0, end);
        this.#begin(commitLsn, xid);
        break;
      }
      case MessageTag.beginPrepare: {
        const { prepareLsn, xid } = parseBeginPrepare(data, 0, end);
        this.#begin(prepareLsn, xid);
        break;
      }
      case MessageTag.commit:
      case MessageTag.prepare:
        this.#walk = undefined;
        break;
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
      case MessageTag.truncate:
        if (walk !== undefined) walk.changes++;
        break;
      case MessageTag.message:
        if (walk !== undefined && isTransactional(data[1])) walk.messages++;
        break;
      case MessageTag.origin:
        if (walk !== undefined) walk.origin = true;
        break;
      case MessageTag.streamStart:
        this.#block = parseStreamStart(data, 0, end).xid;
        this.#streamed.add(this.#block);
        break;
      case MessageTag.streamStop:
        this.#block = undefined;
        break;
      case MessageTag.streamCommit:
        this.#streamed.delete(parseStreamCommit(data, 0, end).xid);
        break;
      case MessageTag.streamPrepare:
        this.#streamed.delete(parsePrepare(data, 0, end).xid);
        break;
      case MessageTag.streamAbort: {
        const { xid, subxid } = parseStreamAbort(data, 0, end);
        if (xid === subxid) this.#streamed.delete(xid);
        break;
      }
    }
    this.#advance(units);
  }

  /** The consumer has a whole batch. */
  batch({ ending, unitsThrough }: CutBatch): void {
    const { part, streamed, block } = ending;
    this.#walk = part === undefined ? undefined : { ...part };
    this.#streamed.clear();
    for (const xid of streamed) this.#streamed.add(xid);
    this.#block = block;
    this.#advance(unitsThrough);
  }

  #begin(recordLsn: bigint, xid: number): void {
    this.#walk = { recordLsn, xid, origin: false, changes: 0, messages: 0 };
  }

  #advance(units: number): void {
    this.reach(units);
    const walk = this.#walk;
    if (walk === undefined || units !== this.#units) return;
    const part = this.#part;
    if (part === undefined) {
      this.#part = walk;
    } else if (part !== walk) {
      part.origin ||= walk.origin;
      part.changes = Math.max(part.changes, walk.changes);
      part.messages = Math.max(part.messages, walk.messages);
    }
  }
}
