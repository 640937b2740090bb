import type { PgoutputMessage } from '../../src/pgoutput/pgoutput-message.js';
import { type Tuple, TupleValue } from '../../src/pgoutput/tuple-value.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import fc from '../support/properties.js';

/* Messages of every kind with anything in their fields that these can hold, in a streamed block or outside. */

/** Plain objects, as decoded messages are. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const lsn = fc.bigInt(0n, 2n ** 64n - 1n);
const timeUs = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
/** Any code points but NUL, a byte order mark first among them. */
const name = fc
  .oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom('', '\ufeffbom', '__proto__', '😀', 'größe'))
  .map((text) => text.replaceAll('\0', '-'));
const schema = fc.oneof(
  name.filter((text) => text !== ''),
  fc.constant('pg_catalog'),
);
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));

const tupleValue: fc.Arbitrary<Tuple[number]> = fc.oneof(
  fc.constant(null),
  fc.constant(UNCHANGED),
  fc.tuple(fc.constantFrom('text', 'binary'), bytes).map(([format, value]) => new TupleValue(format, value)),
);
const tuple: fc.Arbitrary<Tuple> = fc.array(tupleValue, { maxLength: 8 });

/** `flags` where any of the bits that are not `known` is set. */
function flags(known: number): fc.Arbitrary<{ flags?: number }> {
  return fc.oneof(
    fc.constant({}),
    fc.integer({ min: 1, max: 255 }).map((any) => ((any & ~known) === 0 ? {} : { flags: any & ~known })),
  );
}

/** `xid` in a streamed block. */
const streamedXid: fc.Arbitrary<{ xid?: number }> = fc.oneof(fc.constant({}), record({ xid: uint32 }));

function merged<A, B>(one: fc.Arbitrary<A>, other: fc.Arbitrary<B>): fc.Arbitrary<A & B> {
  return fc.tuple(one, other).map(([a, b]) => ({ ...a, ...b }));
}

const column = merged(record({ name, typeOid: uint32, typeModifier: int32, isIdentity: fc.boolean() }), flags(1));

const prepared = { prepareLsn: lsn, prepareEndLsn: lsn, prepareTimeUs: timeUs, xid: uint32, gid: name };
const committed = { commitLsn: lsn, commitEndLsn: lsn, commitTimeUs: timeUs };
const changed = { relationId: uint32 };

/** By kind. */
export const arbitraryMessages: { readonly [K in PgoutputMessage['kind']]: fc.Arbitrary<PgoutputMessage> } = {
  begin: record({ kind: fc.constant('begin'), commitLsn: lsn, commitTimeUs: timeUs, xid: uint32 }),
  commit: merged(record({ kind: fc.constant('commit'), ...committed }), flags(0)),
  origin: record({ kind: fc.constant('origin'), originLsn: lsn, name }),
  relation: merged(
    record({
      kind: fc.constant('relation'),
      id: uint32,
      schema,
      table: name,
      replicaIdentity: fc.constantFrom('default', 'nothing', 'full', 'index'),
      columns: fc.array(column, { maxLength: 6 }),
    }),
    streamedXid,
  ),
  type: merged(record({ kind: fc.constant('type'), id: uint32, schema, name }), streamedXid),
  insert: merged(record({ kind: fc.constant('insert'), ...changed, new: tuple }), streamedXid),
  update: merged(
    fc.oneof(
      record({ kind: fc.constant('update'), ...changed, new: tuple }),
      record({ kind: fc.constant('update'), ...changed, key: tuple, new: tuple }),
      record({ kind: fc.constant('update'), ...changed, old: tuple, new: tuple }),
    ),
    streamedXid,
  ),
  delete: merged(
    fc.oneof(
      record({ kind: fc.constant('delete'), ...changed, key: tuple }),
      record({ kind: fc.constant('delete'), ...changed, old: tuple }),
    ),
    streamedXid,
  ),
  truncate: merged(
    merged(
      record({
        kind: fc.constant('truncate'),
        relationIds: fc.array(uint32, { maxLength: 5 }),
        cascade: fc.boolean(),
        restartIdentity: fc.boolean(),
      }),
      flags(3),
    ),
    streamedXid,
  ),
  message: merged(
    merged(
      record({ kind: fc.constant('message'), transactional: fc.boolean(), lsn, prefix: name, content: bytes }),
      flags(1),
    ),
    streamedXid,
  ),
  streamStart: record({ kind: fc.constant('streamStart'), xid: uint32, isFirst: fc.boolean() }),
  streamStop: fc.constant({ kind: 'streamStop' }),
  streamCommit: merged(record({ kind: fc.constant('streamCommit'), xid: uint32, ...committed }), flags(0)),
  streamAbort: fc.oneof(
    record({ kind: fc.constant('streamAbort'), xid: uint32, subxid: uint32 }),
    record({ kind: fc.constant('streamAbort'), xid: uint32, subxid: uint32, abortLsn: lsn, abortTimeUs: timeUs }),
  ),
  beginPrepare: record({ kind: fc.constant('beginPrepare'), ...prepared }),
  prepare: merged(record({ kind: fc.constant('prepare'), ...prepared }), flags(0)),
  commitPrepared: merged(
    record({ kind: fc.constant('commitPrepared'), ...committed, xid: uint32, gid: name }),
    flags(0),
  ),
  rollbackPrepared: merged(
    record({
      kind: fc.constant('rollbackPrepared'),
      prepareEndLsn: lsn,
      rollbackEndLsn: lsn,
      prepareTimeUs: timeUs,
      rollbackTimeUs: timeUs,
      xid: uint32,
      gid: name,
    }),
    flags(0),
  ),
  streamPrepare: merged(record({ kind: fc.constant('streamPrepare'), ...prepared }), flags(0)),
};

export const arbitraryMessage: fc.Arbitrary<PgoutputMessage> = fc.oneof(...Object.values(arbitraryMessages));

const STREAMABLE = new Set<string>(['relation', 'type', 'insert', 'update', 'delete', 'truncate', 'message']);

/** Whether the bytes of a message with an xid are those of a streamed block. */
export function isStreamed(message: PgoutputMessage): boolean {
  return STREAMABLE.has(message.kind) && 'xid' in message;
}
