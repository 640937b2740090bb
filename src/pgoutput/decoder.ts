import { DecodeError } from '../errors.js';
import { decodeMessage, type MessageContext } from './decode-message.js';
import type { PgoutputMessage } from './pgoutput-message.js';
import type { Relation } from './relation.js';

/**
 * Decodes pgoutput messages one by one, without a connection or a worker: those of `stream.rawMessages()`, of
 * `pg_logical_slot_get_binary_changes()`, or recorded ones.
 *
 * A message says neither whether it is part of a streamed block nor what its columns are: both follow from what came
 * before. So one decoder takes all messages of one stream, in the order in which the server sent them, from the start
 * of the connection.
 *
 * For all bytes that `decode` takes, `encodeMessage(decoder.decode(bytes))` is the same bytes again. (The one exception
 * is never sent: a namespace spelled `pg_catalog` instead of left empty.)
 *
 * @example
 * const decoder = new PgoutputDecoder();
 * for await (const { data } of stream.rawMessages()) {
 *   const message = decoder.decode(data);
 *   if (message.kind !== 'insert') continue;
 *   const relation = decoder.relation(message.relationId);
 *   if (relation !== undefined) console.log(relation.table, rowFromTuple(message.new, relation));
 * }
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export class PgoutputDecoder {
  readonly #committed = new Map<number, Relation>();
  /** Relations that streamed transactions described, by xid: nobody else sees them before the commit. */
  readonly #inProgress = new Map<number, Map<number, Relation>>();
  #streamedXid: number | undefined;

  /**
   * The message in `bytes[start, end)`, which is all of it. It shares no memory with `bytes`.
   *
   * @throws DecodeError with the message's `tag`, and the `offset` in it, when it is malformed, of an unknown kind,
   * misplaced, or changes a relation that the server has not described. The decoder is then as it was before.
   */
  decode(bytes: Buffer, start = 0, end = bytes.length): PgoutputMessage {
    const message = decodeMessage(bytes.subarray(start, end), this.#context());
    this.#follow(message);
    return message;
  }

  /**
   * The relation as it was described last before now: in a streamed block by its own transaction, where that did,
   * else outside any. What a streamed transaction described is known to the others from its Stream Commit on, and
   * forgotten at its Stream Abort or Stream Prepare, after which the server describes it anew.
   */
  relation(id: number): Relation | undefined {
    const own = this.#streamedXid === undefined ? undefined : this.#inProgress.get(this.#streamedXid)?.get(id);
    return own ?? this.#committed.get(id);
  }

  #context(): MessageContext {
    return {
      streamed: this.#streamedXid !== undefined,
      relation: (relationId) => {
        const relation = this.relation(relationId);
        if (relation !== undefined) return relation;
        throw new DecodeError('change of a relation that the stream has not described', { offset: 0, relationId });
      },
    };
  }

  #follow(message: PgoutputMessage): void {
    switch (message.kind) {
      case 'relation':
        this.#describe(message);
        break;
      case 'streamStart':
        if (this.#streamedXid !== undefined) {
          throw new DecodeError('a streamed block begins inside another', { offset: 0, tag: 'S' });
        }
        this.#streamedXid = message.xid;
        break;
      case 'streamStop':
        if (this.#streamedXid === undefined) {
          throw new DecodeError('a streamed block ends that has not begun', { offset: 0, tag: 'E' });
        }
        this.#streamedXid = undefined;
        break;
      case 'streamCommit':
        for (const [id, relation] of this.#inProgress.get(message.xid) ?? []) this.#committed.set(id, relation);
        this.#inProgress.delete(message.xid);
        break;
      case 'streamAbort':
        // Of a subtransaction too: the server describes again whatever it sends next of this transaction.
        this.#inProgress.delete(message.xid);
        break;
      case 'streamPrepare':
        this.#inProgress.delete(message.xid);
        break;
    }
  }

  #describe({ kind: _, xid: __, ...relation }: Extract<PgoutputMessage, { kind: 'relation' }>): void {
    if (this.#streamedXid === undefined) {
      this.#committed.set(relation.id, relation);
      return;
    }
    let described = this.#inProgress.get(this.#streamedXid);
    if (described === undefined) {
      described = new Map();
      this.#inProgress.set(this.#streamedXid, described);
    }
    described.set(relation.id, relation);
  }
}
