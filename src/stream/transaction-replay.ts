import { MessageTag } from '../pgoutput/message-tag.js';
import type { OpenTransaction } from '../pgoutput/transaction-context.js';

/** How far a transaction was received. */
export interface ReceivedPart {
  /** Row changes and truncates, and messages. */
  readonly changes: number;
  readonly messages: number;
}

/**
 * Passes over the beginning of a transaction that was received half-way when the connection was lost: it comes again,
 * message by message as before, only that relations and types may be described elsewhere in it.
 */
export class TransactionReplay {
  /** LSN of the transaction's commit or prepare record: the same whenever it is sent. */
  readonly #recordLsn: bigint;
  readonly #received: ReceivedPart;
  #changesLeft = 0;
  #messagesLeft = 0;
  #begun = false;

  private constructor(recordLsn: bigint, received: ReceivedPart) {
    this.#recordLsn = recordLsn;
    this.#received = received;
  }

  /** `undefined` for a streamed transaction, which comes again as a new one. */
  static of(transaction: OpenTransaction, received: ReceivedPart): TransactionReplay | undefined {
    const recordLsn = recordLsnOf(transaction);
    return recordLsn === undefined ? undefined : new TransactionReplay(recordLsn, received);
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
   * A message inside `transaction`, or the one that opened it, came: `pass` when it was received before, `deliver` when
   * it is the first that was not, or when another transaction came in place of the one that was expected.
   */
  judge(tag: number, transaction: OpenTransaction): 'pass' | 'deliver' {
    if (!this.#begun) {
      if (recordLsnOf(transaction) !== this.#recordLsn) return 'deliver';
      this.#begun = true;
      this.#changesLeft = this.#received.changes;
      this.#messagesLeft = this.#received.messages;
      return 'pass';
    }
    switch (tag) {
      case MessageTag.origin:
        return 'pass';
      case MessageTag.relation:
      case MessageTag.type:
        return this.#changesLeft > 0 || this.#messagesLeft > 0 ? 'pass' : 'deliver';
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
      case MessageTag.truncate:
        return this.#changesLeft-- > 0 ? 'pass' : 'deliver';
      case MessageTag.message:
        return this.#messagesLeft-- > 0 ? 'pass' : 'deliver';
      default:
        return 'deliver';
    }
  }
}

function recordLsnOf(transaction: OpenTransaction): bigint | undefined {
  switch (transaction.kind) {
    case 'committed':
      return transaction.begin.commitLsn;
    case 'prepared':
      return transaction.prepared.prepareLsn;
    case 'streamed':
      return undefined;
    default:
      return transaction satisfies never;
  }
}
