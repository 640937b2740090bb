import { DecodeError } from '../errors.js';
import { ByteReader } from '../protocol/byte-reader.js';
import { UNCHANGED } from '../types/unchanged.js';
import { parseBegin, parseCommit, parseMessage, parseOrigin, parseTruncate, parseType } from './control-message.js';
import { ColumnTag, MessageTag, TupleTag } from './message-tag.js';
import type { DeleteMessage, InsertMessage, PgoutputMessage, UpdateMessage } from './pgoutput-message.js';
import { parseBeginPrepare, parseCommitPrepared, parsePrepare, parseRollbackPrepared } from './prepared-message.js';
import { parseRelation, type Relation } from './relation.js';
import {
  hasStreamedXid,
  parseStreamAbort,
  parseStreamCommit,
  parseStreamStart,
  parseStreamStop,
  STREAMED_XID_BYTES,
} from './stream-message.js';
import { type Tuple, TupleValue } from './tuple-value.js';

/** What a message cannot be decoded without. */
export interface MessageContext {
  /** Whether it stands between Stream Start and Stream Stop. */
  readonly streamed: boolean;
  /** The relation in force; {@link DecodeError} when there is none. Without it, tuples are not held against any. */
  readonly relation?: (id: number) => Relation;
}

/** Decodes the message that `bytes` is; offsets in a {@link DecodeError} count from its tag. */
export function decodeMessage(bytes: Buffer, context: MessageContext): PgoutputMessage {
  if (bytes.length === 0) throw new DecodeError('empty message', { offset: 0 });
  try {
    return parseAny(bytes, context);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DecodeError(error.message, {
      offset: error.offset,
      tag: String.fromCharCode(bytes[0]),
      relationId: error.relationId,
      cause: error.cause,
    });
  }
}

function parseAny(bytes: Buffer, context: MessageContext): PgoutputMessage {
  const end = bytes.length;
  if (hasStreamedXid(bytes[0])) {
    return context.streamed ? parseStreamed(bytes, context) : parseChange(bytes, 0, context);
  }
  switch (bytes[0]) {
    case MessageTag.begin:
      return { kind: 'begin', ...parseBegin(bytes, 0, end) };
    case MessageTag.commit:
      return { kind: 'commit', ...parseCommit(bytes, 0, end) };
    case MessageTag.origin:
      return { kind: 'origin', ...parseOrigin(bytes, 0, end) };
    case MessageTag.streamStart:
      return { kind: 'streamStart', ...parseStreamStart(bytes, 0, end) };
    case MessageTag.streamStop:
      parseStreamStop(bytes, 0, end);
      return { kind: 'streamStop' };
    case MessageTag.streamCommit:
      return { kind: 'streamCommit', ...parseStreamCommit(bytes, 0, end) };
    case MessageTag.streamAbort:
      return { kind: 'streamAbort', ...parseStreamAbort(bytes, 0, end) };
    case MessageTag.beginPrepare:
      return { kind: 'beginPrepare', ...parseBeginPrepare(bytes, 0, end) };
    case MessageTag.prepare:
      return { kind: 'prepare', ...parsePrepare(bytes, 0, end) };
    case MessageTag.commitPrepared:
      return { kind: 'commitPrepared', ...parseCommitPrepared(bytes, 0, end) };
    case MessageTag.rollbackPrepared:
      return { kind: 'rollbackPrepared', ...parseRollbackPrepared(bytes, 0, end) };
    case MessageTag.streamPrepare:
      return { kind: 'streamPrepare', ...parsePrepare(bytes, 0, end) };
    default:
      throw new DecodeError('unknown pgoutput message', { offset: 0 });
  }
}

/** What has an xid after its tag in a streamed block. */
type Change = Extract<PgoutputMessage, { kind: 'relation' | 'type' | 'truncate' | 'message' }> | RowMessage;
type RowMessage = InsertMessage | UpdateMessage | DeleteMessage;

function parseStreamed(bytes: Buffer, context: MessageContext): Change {
  const xid = new ByteReader(bytes, 1, bytes.length).uint32();
  return { ...parseChange(bytes, STREAMED_XID_BYTES, context), xid };
}

/** `start` is one byte before the fields: the parsers take the tag to be there, and do not look at it. */
function parseChange(bytes: Buffer, start: number, context: MessageContext): Change {
  const end = bytes.length;
  switch (bytes[0]) {
    case MessageTag.relation:
      return { kind: 'relation', ...parseRelation(bytes, start, end) };
    case MessageTag.type:
      return { kind: 'type', ...parseType(bytes, start, end) };
    case MessageTag.message:
      return { kind: 'message', ...parseMessage(bytes, start, end) };
    case MessageTag.truncate: {
      const truncate = parseTruncate(bytes, start, end);
      for (const id of truncate.relationIds) context.relation?.(id);
      return { kind: 'truncate', ...truncate };
    }
    default:
      return parseRow(bytes[0], new ByteReader(bytes, start + 1, end), context);
  }
}

function parseRow(tag: number, reader: ByteReader, context: MessageContext): RowMessage {
  const relationId = reader.uint32();
  const relation = context.relation?.(relationId);
  const before = tag === MessageTag.insert ? undefined : parseBefore(reader, relation);
  if (tag === MessageTag.delete) {
    if (before === undefined) throw new DecodeError('delete without a key or an old row', { offset: reader.offset });
    reader.expectEnd();
    return { kind: 'delete', relationId, ...before };
  }
  const tagOffset = reader.offset;
  if (reader.uint8() !== TupleTag.new) throw new DecodeError('no new row where it should be', { offset: tagOffset });
  const row = parseTuple(reader, relation);
  reader.expectEnd();
  return tag === MessageTag.insert
    ? { kind: 'insert', relationId, new: row }
    : { kind: 'update', relationId, ...before, new: row };
}

/** The key or the old row, if one of them comes next. */
function parseBefore(reader: ByteReader, relation: Relation | undefined): { key: Tuple } | { old: Tuple } | undefined {
  switch (reader.peek()) {
    case TupleTag.key:
      reader.uint8();
      return { key: parseTuple(reader, relation) };
    case TupleTag.old:
      reader.uint8();
      return { old: parseTuple(reader, relation) };
    default:
      return undefined;
  }
}

/** TupleData: columnCount:Int16 ('n' | 'u' | 't' length:Int32 Byte[] | 'b' length:Int32 Byte[])* */
function parseTuple(reader: ByteReader, relation: Relation | undefined): Tuple {
  const { offset } = reader;
  const count = reader.uint16();
  if (relation !== undefined && count !== relation.columns.length) {
    throw new DecodeError(`tuple of ${count} columns; its relation has ${relation.columns.length}`, {
      offset,
      relationId: relation.id,
    });
  }
  const tuple: Tuple[number][] = [];
  for (let column = 0; column < count; column++) tuple.push(parseTupleValue(reader));
  return tuple;
}

function parseTupleValue(reader: ByteReader): Tuple[number] {
  const { offset } = reader;
  switch (reader.uint8()) {
    case ColumnTag.null:
      return null;
    case ColumnTag.unchangedToast:
      return UNCHANGED;
    case ColumnTag.text:
      return new TupleValue('text', reader.copy(reader.int32()));
    case ColumnTag.binary:
      return new TupleValue('binary', reader.copy(reader.int32()));
    default:
      throw new DecodeError('unknown kind of column value', { offset });
  }
}
