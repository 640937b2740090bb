import type { ReplicaIdentity } from '../../src/pgoutput/relation.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import { backendMessage, int16, int32, text } from '../connection/backend-bytes.js';

/*
 * Encodes what a walsender sends, for tests: pgoutput messages of protocol 1, and the XLogData and CopyData around them.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

/** A column value in a tuple: null, unchanged TOAST, text or binary. */
export type Cell = null | typeof UNCHANGED | string | Buffer;

export interface ColumnBytes {
  readonly name: string;
  readonly typeOid?: number;
  readonly typeModifier?: number;
  readonly isIdentity?: boolean;
}

export interface RelationBytes {
  readonly id: number;
  readonly schema?: string;
  readonly table?: string;
  readonly replicaIdentity?: ReplicaIdentity;
  readonly columns: readonly ColumnBytes[];
}

/** What precedes the new tuple of an Update, and all there is in a Delete. */
export type Before = { readonly key: readonly Cell[] } | { readonly old: readonly Cell[] };

const TEXT_OID = 25;
const IDENTITY_LETTERS: Readonly<Record<ReplicaIdentity, string>> = {
  default: 'd',
  nothing: 'n',
  full: 'f',
  index: 'i',
};

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

export function uint32(value: number): Buffer {
  return int32(value | 0);
}

function letter(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}

export function begin(message: { commitLsn: bigint; commitTimeUs?: bigint; xid: number }): Buffer {
  const { commitLsn, commitTimeUs = 0n, xid } = message;
  return Buffer.concat([letter('B'), uint64(commitLsn), uint64(commitTimeUs), uint32(xid)]);
}

export function commit(message: { commitLsn: bigint; commitEndLsn: bigint; commitTimeUs?: bigint }): Buffer {
  const { commitLsn, commitEndLsn, commitTimeUs = 0n } = message;
  return Buffer.concat([letter('C'), Buffer.of(0), uint64(commitLsn), uint64(commitEndLsn), uint64(commitTimeUs)]);
}

export function origin(message: { originLsn: bigint; name: string }): Buffer {
  return Buffer.concat([letter('O'), uint64(message.originLsn), text(message.name)]);
}

export function relation(message: RelationBytes): Buffer {
  const { id, schema = 'public', table = `table_${id}`, replicaIdentity = 'default', columns } = message;
  return Buffer.concat([
    letter('R'),
    uint32(id),
    text(schema),
    text(table),
    letter(IDENTITY_LETTERS[replicaIdentity]),
    int16(columns.length),
    ...columns.map(({ name, typeOid = TEXT_OID, typeModifier = -1, isIdentity = false }) =>
      Buffer.concat([Buffer.of(isIdentity ? 1 : 0), text(name), uint32(typeOid), int32(typeModifier)]),
    ),
  ]);
}

export function type(message: { id: number; schema: string; name: string }): Buffer {
  return Buffer.concat([letter('Y'), uint32(message.id), text(message.schema), text(message.name)]);
}

export function tuple(cells: readonly Cell[]): Buffer {
  return Buffer.concat([int16(cells.length), ...cells.map(cellBytes)]);
}

function cellBytes(cell: Cell): Buffer {
  if (cell === null) return letter('n');
  if (cell === UNCHANGED) return letter('u');
  const value = Buffer.from(cell as string | Buffer);
  return Buffer.concat([letter(typeof cell === 'string' ? 't' : 'b'), int32(value.length), value]);
}

function beforeBytes(before: Before): Buffer[] {
  return 'key' in before ? [letter('K'), tuple(before.key)] : [letter('O'), tuple(before.old)];
}

export function insert(relationId: number, row: readonly Cell[]): Buffer {
  return Buffer.concat([letter('I'), uint32(relationId), letter('N'), tuple(row)]);
}

export function update(relationId: number, row: readonly Cell[], before?: Before): Buffer {
  const old = before === undefined ? [] : beforeBytes(before);
  return Buffer.concat([letter('U'), uint32(relationId), ...old, letter('N'), tuple(row)]);
}

export function deleteRow(relationId: number, before: Before): Buffer {
  return Buffer.concat([letter('D'), uint32(relationId), ...beforeBytes(before)]);
}

export function truncate(
  relationIds: readonly number[],
  options: { cascade?: boolean; restartIdentity?: boolean } = {},
): Buffer {
  const bits = (options.cascade ? 1 : 0) | (options.restartIdentity ? 2 : 0);
  return Buffer.concat([letter('T'), uint32(relationIds.length), Buffer.of(bits), ...relationIds.map(uint32)]);
}

export function message(fields: {
  transactional: boolean;
  lsn: bigint;
  prefix: string;
  content: Uint8Array | string;
}): Buffer {
  const content = Buffer.from(fields.content as string);
  return Buffer.concat([
    letter('M'),
    Buffer.of(fields.transactional ? 1 : 0),
    uint64(fields.lsn),
    text(fields.prefix),
    int32(content.length),
    content,
  ]);
}

/** One CopyData. */
export function copyData(payload: Uint8Array): Buffer {
  return backendMessage('d', payload);
}

/** XLogData in its CopyData. */
export function xLogData(walStart: bigint, payload: Uint8Array, serverWalEnd = walStart): Buffer {
  return copyData(Buffer.concat([letter('w'), uint64(walStart), uint64(serverWalEnd), uint64(0n), payload]));
}

/** PrimaryKeepalive in its CopyData. */
export function keepalive(serverWalEnd: bigint, replyRequested = false, serverTimeUs = 0n): Buffer {
  return copyData(
    Buffer.concat([letter('k'), uint64(serverWalEnd), uint64(serverTimeUs), Buffer.of(replyRequested ? 1 : 0)]),
  );
}
