import { DecodeError } from '../errors.js';
import { MessageTag } from './message-tag.js';

/** The message in which something could not be decoded. */
export interface MessageLocation {
  /** Offset of the message in the memory that was being read. */
  readonly start: number;
  readonly tag: number;
  readonly lsn: bigint;
  readonly relationId?: number;
}

/** Makes a parser's error name its message: offset within it, tag, LSN and relation. Any other error is not touched. */
export function locateDecodeError(error: unknown, message: MessageLocation): unknown {
  if (!(error instanceof DecodeError)) return error;
  // Relation messages are parsed in memory of their own, which begins with them.
  const parsedFrom = message.tag === MessageTag.relation ? 0 : message.start;
  return new DecodeError(error.message, {
    offset: error.offset - parsedFrom,
    tag: String.fromCharCode(message.tag),
    lsn: message.lsn,
    relationId: error.relationId ?? message.relationId,
    cause: error.cause,
  });
}
