import { DecodeError } from '../errors.js';
import type { PackWriter } from '../types/pack-writer.js';
import { ColumnTag } from './message-tag.js';
import type { RelationPlan } from './relation-plan.js';

/*
 * TupleData: columnCount:Int16 (kind:Byte1 [length:Int32 value:Byte[]])*
 *   kind 'n' null, 'u' unchanged TOAST value (not null, not sent), 't' text, 'b' binary
 */

/** No old row to fill unchanged TOAST columns from. */
export const NO_TUPLE = -1;

/** Checks the column count of the tuple at `start`; returns where its first column begins. */
function enterTuple(bytes: Buffer, start: number, end: number, plan: RelationPlan): number {
  if (end - start < 2) throw new DecodeError('tuple without its column count', { offset: start });
  const count = (bytes[start] << 8) | bytes[start + 1];
  if (count !== plan.identity.length) {
    throw new DecodeError(`tuple of ${count} columns; its relation has ${plan.identity.length}`, { offset: start });
  }
  return start + 2;
}

/** Length of the value whose length field is at `at`, checked against the end of the message. */
function valueLength(bytes: Buffer, at: number, end: number): number {
  if (end - at < 4) throw new DecodeError('column without its length', { offset: at });
  const length = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  if (length < 0 || length > end - at - 4) {
    throw new DecodeError(`column of ${length} bytes where ${end - at - 4} are left`, { offset: at });
  }
  return length;
}

/** Packs the whole row at `start` and returns its end; unchanged TOAST columns come from the old row where there is one. */
export function packRow(
  bytes: Buffer,
  start: number,
  end: number,
  plan: RelationPlan,
  oldStart: number,
  out: PackWriter,
): number {
  let at = enterTuple(bytes, start, end, plan);
  const columnCount = plan.identity.length;
  for (let column = 0; column < columnCount; column++) {
    if (at >= end) throw missingColumn(at, column);
    const kind = bytes[at++];
    if (kind === ColumnTag.text || kind === ColumnTag.binary) {
      const length = valueLength(bytes, at, end);
      at += 4;
      const writer = kind === ColumnTag.text ? plan.textWriters[column] : plan.binaryWriters[column];
      writer(bytes, at, at + length, out);
      at += length;
    } else if (kind === ColumnTag.null) {
      out.writeNil();
    } else if (kind === ColumnTag.unchangedToast) {
      if (oldStart === NO_TUPLE) out.writeUnchanged();
      else packColumn(bytes, oldStart, end, plan, column, out);
    } else {
      throw unknownKind(at - 1);
    }
  }
  return at;
}

/** Packs the replica-identity columns of the key tuple at `start` and returns its end; the others are placeholders, not values. */
export function packKey(bytes: Buffer, start: number, end: number, plan: RelationPlan, out: PackWriter): number {
  let at = enterTuple(bytes, start, end, plan);
  const columnCount = plan.identity.length;
  for (let column = 0; column < columnCount; column++) {
    if (plan.identity[column] === 1) packValue(bytes, at, end, plan, column, out);
    at = skipValue(bytes, at, end, column);
  }
  return at;
}

/** Packs one column of the row at `start`. */
function packColumn(
  bytes: Buffer,
  start: number,
  end: number,
  plan: RelationPlan,
  wanted: number,
  out: PackWriter,
): void {
  let at = enterTuple(bytes, start, end, plan);
  for (let column = 0; column < wanted; column++) at = skipValue(bytes, at, end, column);
  packValue(bytes, at, end, plan, wanted, out);
}

function packValue(bytes: Buffer, at: number, end: number, plan: RelationPlan, column: number, out: PackWriter): void {
  if (at >= end) throw missingColumn(at, column);
  const kind = bytes[at];
  if (kind === ColumnTag.text || kind === ColumnTag.binary) {
    const length = valueLength(bytes, at + 1, end);
    const writer = kind === ColumnTag.text ? plan.textWriters[column] : plan.binaryWriters[column];
    writer(bytes, at + 5, at + 5 + length, out);
  } else if (kind === ColumnTag.null) {
    out.writeNil();
  } else if (kind === ColumnTag.unchangedToast) {
    out.writeUnchanged();
  } else {
    throw unknownKind(at);
  }
}

function skipValue(bytes: Buffer, at: number, end: number, column: number): number {
  if (at >= end) throw missingColumn(at, column);
  const kind = bytes[at];
  if (kind === ColumnTag.null || kind === ColumnTag.unchangedToast) return at + 1;
  if (kind !== ColumnTag.text && kind !== ColumnTag.binary) throw unknownKind(at);
  return at + 5 + valueLength(bytes, at + 1, end);
}

/**
 * Which column of a row change, whose tuples begin at `start`, the value around `offset` belongs to, from 0; -1 when none
 * does. For errors: a tuple that cannot be walked so far has none.
 */
export function columnPositionAt(bytes: Buffer, start: number, end: number, offset: number): number {
  let at = start;
  while (at + 3 <= end) {
    // The letter of the tuple, and its count.
    const count = bytes.readUInt16BE(at + 1);
    at += 3;
    for (let column = 0; column < count; column++) {
      if (at >= end) return -1;
      const kind = bytes[at];
      if (kind !== ColumnTag.text && kind !== ColumnTag.binary) {
        if (offset === at) return column;
        if (!isKnownKind(kind)) return -1;
        at++;
        continue;
      }
      const length = end - at < 5 ? -1 : bytes.readInt32BE(at + 1);
      const next = at + 5 + length;
      if (length < 0 || next > end) return offset >= at ? column : -1;
      // An empty value is at fault where the next begins, unless that is.
      if (offset < next || (length === 0 && offset === next && (next === end || isKnownKind(bytes[next])))) {
        return offset >= at ? column : -1;
      }
      at = next;
    }
  }
  return -1;
}

function isKnownKind(kind: number): boolean {
  return (
    kind === ColumnTag.text || kind === ColumnTag.binary || kind === ColumnTag.null || kind === ColumnTag.unchangedToast
  );
}

function missingColumn(offset: number, column: number): DecodeError {
  return new DecodeError(`tuple ends before column ${column + 1}`, { offset });
}

function unknownKind(offset: number): DecodeError {
  return new DecodeError('unknown kind of column value', { offset });
}
