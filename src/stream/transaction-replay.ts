import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import type { OpenTransaction } from '../pgoutput/transaction-context.js';

/** How far a transaction was received. */
export interface ReceivedPart {
  readonly origin: boolean;
  /** Row changes and truncates, and messages. */
  readonly changes: number;
  readonly messages: number;
}

/** Which transaction, and how far it came. */
export interface TransactionPart extends ReceivedPart {
  /** LSN of its commit or prepare record. */
  readonly recordLsn: bigint;
  readonly xid: number;
}

/**
 * Passes over the beginning of a transaction that was received half-way when the connection was lost: it comes again,
 * message by message as before, only that relations and types may be described elsewhere in it. When it does not come
 * again, or with less than was received, the server has another history: that is a ProtocolError.
 */
export class TransactionReplay {
  /** LSN of the transaction's commit or prepare record: the same whenever it is sent. */
  readonly recordLsn: bigint;
  readonly #xid: number;
  readonly #received: ReceivedPart;
  #originLeft = false;
  #changesLeft = 0;
  #messagesLeft = 0;
  #begun = false;

  private constructor(recordLsn: bigint, xid: number, received: ReceivedPart) {
    this.recordLsn = recordLsn;
    this.#xid = xid;
    this.#received = received;
  }

  /** `undefined` for a streamed transaction, which comes again as a new one. */
  static of(transaction: OpenTransaction, received: ReceivedPart): TransactionReplay | undefined {
    const part = partOf(transaction, received);
    return part === undefined ? undefined : TransactionReplay.from(part);
  }

  static from(part: TransactionPart): TransactionReplay {
    return new TransactionReplay(part.recordLsn, part.xid, part);
  }

  /** Whether the transaction comes again now. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The connection was lost again: from its beginning once more. */
  restart(): void {
    this.#begun = false;
  }

  /**
   * The transaction comes again, but in streamed blocks: with less memory a server sends as a block what it sent whole
   * before. Then it is another to the consumer.
   */
  comesStreamed(transaction: OpenTransaction | undefined): boolean {
    return transaction?.kind === 'streamed' && transaction.xid === this.#xid;
  }

  /** Begin or Begin Prepare came: everything that ends before the transaction was received, so it must be that. */
  begin(transaction: OpenTransaction): void {
    const again = TransactionReplay.of(transaction, this.#received);
    if (again?.recordLsn !== this.recordLsn || again.#xid !== this.#xid) throw this.#missing();
    this.#begun = true;
    this.#originLeft = this.#received.origin;
    this.#changesLeft = this.#received.changes;
    this.#messagesLeft = this.#received.messages;
  }

  /** A unit of acknowledgement ended at `endLsn`: this transaction, or one in its place. */
  end(endLsn: bigint): void {
    const complete = this.#begun ? !this.#isAnyLeft() : endLsn <= this.recordLsn;
    if (!complete) throw this.#missing();
  }

  /** A message inside the transaction came: whether it was received before. The first that was not ends the replay. */
  passes(tag: number): boolean {
    switch (tag) {
      case MessageTag.origin: {
        const isLeft = this.#originLeft;
        this.#originLeft = false;
        return isLeft;
      }
      case MessageTag.relation:
      case MessageTag.type:
        return this.#isAnyLeft();
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
      case MessageTag.truncate:
        return this.#changesLeft-- > 0;
      case MessageTag.message:
        return this.#messagesLeft-- > 0;
      default:
        return false;
    }
  }

  #isAnyLeft(): boolean {
    return this.#originLeft || this.#changesLeft > 0 || this.#messagesLeft > 0;
  }

  #missing(): ProtocolError {
    const lsn = this.recordLsn;
    return new ProtocolError(
      `the transaction at ${Lsn.format(lsn)} was received half-way before the connection was lost, and does not come again as it was`,
      { offset: 0, lsn },
    );
  }
}

/** `undefined` for a streamed transaction: its blocks come in another form each time. */
export function partOf(transaction: OpenTransaction, received: ReceivedPart): TransactionPart | undefined {
  const { origin, changes, messages } = received;
  switch (transaction.kind) {
    case 'committed':
      return { recordLsn: transaction.begin.commitLsn, xid: transaction.begin.xid, origin, changes, messages };
    case 'prepared':
      return { recordLsn: transaction.prepared.prepareLsn, xid: transaction.prepared.xid, origin, changes, messages };
    case 'streamed':
      return undefined;
    default:
      return transaction satisfies never;
  }
}
