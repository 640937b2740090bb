import { wrong } from '../errors/option-checks.js';
import { ByteWriter } from '../protocol/byte-writer.js';
import { UNCHANGED } from '../types/unchanged.js';
import { MESSAGE_TRANSACTIONAL, TRUNCATE_CASCADE, TRUNCATE_RESTART_IDENTITY } from './control-message.js';
import { ColumnTag, MessageTag, TupleTag } from './message-tag.js';
import type { DeleteMessage, PgoutputMessage, Streamable, UpdateMessage } from './pgoutput-message.js';
import type { Prepared } from './prepared-message.js';
import { IDENTITY_FLAG, REPLICA_IDENTITIES, type Relation, type ReplicaIdentity } from './relation.js';
import type { Tuple } from './tuple-value.js';

const REPLICA_IDENTITY_LETTERS = new Map<ReplicaIdentity, number>(
  Object.entries(REPLICA_IDENTITIES).map(([letter, identity]) => [identity, Number(letter)]),
);

/**
 * The bytes of one pgoutput message, from its tag on: what `PgoutputDecoder` decodes to an equal message. For fixtures
 * and for servers that are made for tests.
 *
 * A message with an `xid` beside its other fields is one of a streamed block. The names of columns, tables and values
 * are taken as they are: nothing checks that a change fits the relation described before.
 *
 * @throws ConfigurationError whose `option` is the path of the field, such as `columns[2].name`, that holds what its
 * place on the wire cannot: a number out of range, more than 65,535 columns, a string with NUL.
 */
export function encodeMessage(message: PgoutputMessage): Buffer {
  const out = new ByteWriter();
  out.uint8(tagOf(message), 'kind');
  switch (message.kind) {
    case 'begin':
      out.uint64(message.commitLsn, 'commitLsn');
      out.int64(message.commitTimeUs, 'commitTimeUs');
      out.uint32(message.xid, 'xid');
      break;
    case 'commit':
      writeFlags(out, message.flags);
      writeCommit(out, message);
      break;
    case 'origin':
      out.uint64(message.originLsn, 'originLsn');
      out.cString(message.name, 'name');
      break;
    case 'relation':
      writeStreamedXid(out, message);
      writeRelation(out, message);
      break;
    case 'type':
      writeStreamedXid(out, message);
      out.uint32(message.id, 'id');
      writeSchema(out, message.schema);
      out.cString(message.name, 'name');
      break;
    case 'insert':
    case 'update':
    case 'delete':
      writeStreamedXid(out, message);
      out.uint32(message.relationId, 'relationId');
      if (message.kind !== 'insert') writeBefore(out, message);
      if (message.kind !== 'delete') writeTuple(out, TupleTag.new, message.new, 'new');
      break;
    case 'truncate': {
      const { relationIds, cascade, restartIdentity } = message;
      const options = (cascade ? TRUNCATE_CASCADE : 0) | (restartIdentity ? TRUNCATE_RESTART_IDENTITY : 0);
      writeStreamedXid(out, message);
      requireArray(relationIds, 'relationIds');
      out.uint32(relationIds.length, 'relationIds.length');
      writeFlags(out, message.flags, options, TRUNCATE_CASCADE | TRUNCATE_RESTART_IDENTITY);
      for (const [at, id] of relationIds.entries()) out.uint32(id, `relationIds[${at}]`);
      break;
    }
    case 'message':
      writeStreamedXid(out, message);
      writeFlags(out, message.flags, message.transactional ? MESSAGE_TRANSACTIONAL : 0, MESSAGE_TRANSACTIONAL);
      out.uint64(message.lsn, 'lsn');
      out.cString(message.prefix, 'prefix');
      out.sizedBytes(message.content, 'content');
      break;
    case 'streamStart':
      out.uint32(message.xid, 'xid');
      out.uint8(message.isFirst ? 1 : 0, 'isFirst');
      break;
    case 'streamStop':
      break;
    case 'streamCommit':
      out.uint32(message.xid, 'xid');
      writeFlags(out, message.flags);
      writeCommit(out, message);
      break;
    case 'streamAbort':
      out.uint32(message.xid, 'xid');
      out.uint32(message.subxid, 'subxid');
      // One without the other is refused by the one that is missing.
      if (message.abortLsn === undefined && message.abortTimeUs === undefined) break;
      out.uint64(message.abortLsn as bigint, 'abortLsn');
      out.int64(message.abortTimeUs as bigint, 'abortTimeUs');
      break;
    case 'beginPrepare':
      writePrepared(out, message);
      break;
    case 'prepare':
    case 'streamPrepare':
      writeFlags(out, message.flags);
      writePrepared(out, message);
      break;
    case 'commitPrepared':
      writeFlags(out, message.flags);
      writeCommit(out, message);
      out.uint32(message.xid, 'xid');
      out.cString(message.gid, 'gid');
      break;
    case 'rollbackPrepared':
      writeFlags(out, message.flags);
      out.uint64(message.prepareEndLsn, 'prepareEndLsn');
      out.uint64(message.rollbackEndLsn, 'rollbackEndLsn');
      out.int64(message.prepareTimeUs, 'prepareTimeUs');
      out.int64(message.rollbackTimeUs, 'rollbackTimeUs');
      out.uint32(message.xid, 'xid');
      out.cString(message.gid, 'gid');
      break;
    default:
      message satisfies never;
  }
  return out.take();
}

function tagOf({ kind }: PgoutputMessage): number {
  if (!Object.hasOwn(MessageTag, kind)) throw wrong('kind', 'is none of pgoutput');
  return MessageTag[kind];
}

function writeStreamedXid(out: ByteWriter, { xid }: Streamable): void {
  if (xid !== undefined) out.uint32(xid, 'xid');
}

/** The flags that mean something, `known`, and the others: those that a decoded message calls `flags`. */
function writeFlags(out: ByteWriter, others = 0, known = 0, knownMask = 0, path = ''): void {
  if ((others & knownMask) !== 0) throw wrong(`${path}flags`, 'holds bits that have a field of their own');
  out.uint8(others | known, `${path}flags`);
}

function writeCommit(out: ByteWriter, commit: { commitLsn: bigint; commitEndLsn: bigint; commitTimeUs: bigint }): void {
  out.uint64(commit.commitLsn, 'commitLsn');
  out.uint64(commit.commitEndLsn, 'commitEndLsn');
  out.int64(commit.commitTimeUs, 'commitTimeUs');
}

function writePrepared(out: ByteWriter, prepared: Prepared): void {
  out.uint64(prepared.prepareLsn, 'prepareLsn');
  out.uint64(prepared.prepareEndLsn, 'prepareEndLsn');
  out.int64(prepared.prepareTimeUs, 'prepareTimeUs');
  out.uint32(prepared.xid, 'xid');
  out.cString(prepared.gid, 'gid');
}

function writeSchema(out: ByteWriter, schema: string): void {
  // An empty namespace is how pg_catalog is sent, so it cannot be another schema.
  if (schema === '') throw wrong('schema', 'must not be empty');
  out.cString(schema === 'pg_catalog' ? '' : schema, 'schema');
}

function writeRelation(out: ByteWriter, relation: Relation): void {
  const letter = REPLICA_IDENTITY_LETTERS.get(relation.replicaIdentity);
  if (letter === undefined) {
    throw wrong('replicaIdentity', `must be one of ${[...REPLICA_IDENTITY_LETTERS.keys()].join(', ')}`);
  }
  out.uint32(relation.id, 'id');
  writeSchema(out, relation.schema);
  out.cString(relation.table, 'table');
  out.uint8(letter, 'replicaIdentity');
  requireArray(relation.columns, 'columns');
  out.uint16(relation.columns.length, 'columns.length');
  for (const [at, { name, typeOid, typeModifier, isIdentity, flags }] of relation.columns.entries()) {
    const path = `columns[${at}].`;
    writeFlags(out, flags, isIdentity ? IDENTITY_FLAG : 0, IDENTITY_FLAG, path);
    out.cString(name, `${path}name`);
    out.uint32(typeOid, `${path}typeOid`);
    out.int32(typeModifier, `${path}typeModifier`);
  }
}

function writeBefore(out: ByteWriter, { kind, key, old }: UpdateMessage | DeleteMessage): void {
  if (key !== undefined && old !== undefined) throw wrong('old', 'must be absent where there is a key');
  if (key !== undefined) writeTuple(out, TupleTag.key, key, 'key');
  else if (old !== undefined) writeTuple(out, TupleTag.old, old, 'old');
  else if (kind === 'delete') throw wrong('key', 'or old must be there');
}

function writeTuple(out: ByteWriter, tag: number, tuple: Tuple, field: string): void {
  requireArray(tuple, field);
  out.uint8(tag, field);
  out.uint16(tuple.length, `${field}.length`);
  for (const [at, value] of tuple.entries()) {
    const path = `${field}[${at}]`;
    if (value === null) {
      out.uint8(ColumnTag.null, path);
    } else if (value === UNCHANGED) {
      out.uint8(ColumnTag.unchangedToast, path);
    } else if (value?.format === 'text' || value?.format === 'binary') {
      out.uint8(value.format === 'text' ? ColumnTag.text : ColumnTag.binary, path);
      out.sizedBytes(value.bytes, path);
    } else {
      throw wrong(path, 'must be null, UNCHANGED or a TupleValue');
    }
  }
}

function requireArray(value: readonly unknown[], field: string): void {
  if (!Array.isArray(value)) throw wrong(field, 'must be an array');
}
