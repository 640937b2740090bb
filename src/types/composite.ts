import { DecodeError } from '../errors.js';
import type { ColumnWriter } from './column-writer.js';
import type { PackWriter } from './pack-writer.js';
import { tokenEnd, writeToken } from './quoted-token.js';

/** One list of fields that values of a composite type can have. */
export interface CompositeLayout {
  /** Names of the fields, as bytes: they are written with every value. */
  readonly names: readonly Buffer[];
  readonly typeOids: readonly number[];
  readonly writers: readonly ColumnWriter[];
}

/** What is done with values that are not of the present layout, which is the first. */
export interface OtherLayouts {
  readonly report: () => void;
  /** For values of none. */
  readonly write: ColumnWriter;
}

/** MaxTupleAttributeNumber of the server. */
const MAX_FIELDS = 1664;

const COMMA = 0x2c;
const OPEN = 0x28;
const CLOSE = 0x29;

/**
 * A writer for the text of composite values, as objects keyed by field name:
 * ```
 * record   ( [field] (, [field])* )       an empty field is null, "" an empty string
 * ```
 * The first layout that fits by number and values is taken.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/rowtypes.c
 */
export function compositeTextWriter(layouts: readonly CompositeLayout[], other: OtherLayouts): ColumnWriter {
  return (source, start, end, out) => {
    const fieldCount = countFields(source, start, end);
    // One null field and no field at all look the same.
    const isEmpty = end - start === 2;
    for (const layout of layouts) {
      const { length } = layout.names;
      if (length !== fieldCount && !(isEmpty && length === 0)) continue;
      if (tryFields(source, start, end, out, layout)) {
        if (layout !== layouts[0]) other.report();
        return;
      }
    }
    other.report();
    other.write(source, start, end, out);
  };
}

/** `false`, with nothing written, when a field is no value of its type: the type was another one then. */
function tryFields(source: Buffer, start: number, end: number, out: PackWriter, layout: CompositeLayout): boolean {
  const rollback = out.position;
  try {
    writeFields(source, start, end, out, layout);
    return true;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    out.position = rollback;
    return false;
  }
}

function writeFields(
  source: Buffer,
  start: number,
  end: number,
  out: PackWriter,
  { names, writers }: CompositeLayout,
): void {
  out.writeObjectHeader(names.length);
  let at = start + 1;
  for (let field = 0; field < names.length; field++) {
    const fieldEnd = tokenEnd(source, at, end, COMMA, CLOSE);
    out.writeUtf8Slice(names[field], 0, names[field].length);
    if (fieldEnd === at) out.writeNil();
    else writeToken(source, at, fieldEnd, out, writers[field]);
    at = fieldEnd + 1;
  }
}

/** Fields of the record literal in `[start, end)`, whose form is checked by the way. */
function countFields(source: Buffer, start: number, end: number): number {
  if (end - start < 2 || source[start] !== OPEN) {
    throw new DecodeError('composite value does not begin with a parenthesis', { offset: start });
  }
  let count = 1;
  let at = tokenEnd(source, start + 1, end, COMMA, CLOSE);
  while (source[at] === COMMA) {
    if (++count > MAX_FIELDS) throw new DecodeError('composite value has too many fields', { offset: start });
    at = tokenEnd(source, at + 1, end, COMMA, CLOSE);
  }
  if (at + 1 !== end) {
    throw new DecodeError('composite value has something after its closing parenthesis', { offset: start });
  }
  return count;
}

/**
 * The same for binary values:
 * ```
 * int32   count of fields, then for each:
 * uint32  type OID
 * int32   byte count, -1 for null, and the value
 * ```
 * A layout fits when its types are those that the value names.
 */
export function compositeBinaryWriter(layouts: readonly CompositeLayout[], other: OtherLayouts): ColumnWriter {
  return (source, start, end, out) => {
    const fieldCount = countBinaryFields(source, start, end);
    const layout = layouts.find(({ typeOids }) => hasTypes(source, start, fieldCount, typeOids));
    if (layout !== layouts[0]) other.report();
    if (layout === undefined) {
      other.write(source, start, end, out);
      return;
    }
    const { names, writers } = layout;
    out.writeObjectHeader(fieldCount);
    let at = start + 4;
    for (let field = 0; field < fieldCount; field++) {
      const byteCount = source.readInt32BE(at + 4);
      at += 8;
      out.writeUtf8Slice(names[field], 0, names[field].length);
      if (byteCount === -1) {
        out.writeNil();
      } else {
        writers[field](source, at, at + byteCount, out);
        at += byteCount;
      }
    }
  };
}

/** Fields of the binary composite value in `[start, end)`, whose lengths are checked by the way. */
export function countBinaryFields(source: Buffer, start: number, end: number): number {
  const count = end - start < 4 ? -1 : source.readInt32BE(start);
  if (count < 0 || count > MAX_FIELDS) {
    throw new DecodeError(`composite value of ${count} fields`, { offset: start });
  }
  let at = start + 4;
  for (let field = 0; field < count; field++) {
    if (end - at < 8) throw new DecodeError('composite value ends before its last field', { offset: at });
    const byteCount = source.readInt32BE(at + 4);
    at += 8;
    if (byteCount < -1 || byteCount > end - at) {
      throw new DecodeError(`composite field of ${byteCount} bytes`, { offset: at });
    }
    at += Math.max(byteCount, 0);
  }
  if (at !== end) throw new DecodeError('composite value has something after its last field', { offset: at });
  return count;
}

function hasTypes(source: Buffer, start: number, fieldCount: number, typeOids: readonly number[]): boolean {
  if (typeOids.length !== fieldCount) return false;
  let at = start + 4;
  for (const typeOid of typeOids) {
    if (source.readUInt32BE(at) !== typeOid) return false;
    at += 8 + Math.max(source.readInt32BE(at + 4), 0);
  }
  return true;
}
