import { DecodeError, type WireLocation } from '../errors.js';

/** The message in which something could not be decoded. */
export interface MessageLocation {
  /** Offset of the message in the memory that was being read. */
  readonly start: number;
  readonly tag: number;
  readonly lsn: bigint;
  /** Of a row change: its relation, and how to find the column at an offset. */
  readonly row?: RowLocation | undefined;
}

export interface RowLocation {
  readonly relation: string;
  readonly relationId: number;
  readonly columnAt: (offset: number) => string | undefined;
}

/**
 * Makes a parser's error name its message: offset within it, tag, LSN, relation and column. Any other error is not
 * touched.
 */
export function locateDecodeError(error: unknown, message: MessageLocation): unknown {
  if (!(error instanceof DecodeError)) return error;
  const relation = message.row?.relation;
  const column = message.row?.columnAt(error.offset);
  const place = column === undefined ? relation : `column ${column} of ${relation}`;
  return new DecodeError(place === undefined ? error.message : `${place}: ${error.message}`, {
    offset: error.offset - message.start,
    tag: String.fromCharCode(message.tag),
    lsn: message.lsn,
    relationId: error.relationId ?? message.row?.relationId,
    ...(relation !== undefined && { relation }),
    ...(column !== undefined && { column }),
    cause: error.cause,
  });
}

/** Makes the error of a row that was read name the position of its change. */
export function atLsn(error: unknown, lsn: bigint): unknown {
  return error instanceof DecodeError ? said(error, { lsn }) : error;
}

/** Moves the offset of a parser's error from memory of its own, where it read a copy, to where `start` of that lies. */
export function moveDecodeError(error: unknown, start: number): unknown {
  return error instanceof DecodeError ? said(error, { offset: error.offset + start }) : error;
}

/** The same error, with another part of its location. */
function said(error: DecodeError, other: Partial<WireLocation>): DecodeError {
  const { message, offset, tag, lsn, relationId, relation, column, cause } = error;
  return new DecodeError(message, { offset, tag, lsn, relationId, relation, column, cause, ...other });
}
