import { arrayBinaryWriter } from './array-binary.js';
import { arrayTextWriter } from './array-text.js';
import { writeBooleanBinary, writeBooleanText } from './boolean.js';
import { writeByteaBinary, writeByteaText } from './bytea.js';
import {
  writeDateBinary,
  writeTimeBinary,
  writeTimestampBinary,
  writeTimestamptzBinary,
  writeTimetzBinary,
} from './date-time-binary.js';
import {
  writeDateText,
  writeTimestampText,
  writeTimestamptzText,
  writeTimeText,
  writeTimetzText,
} from './date-time-text.js';
import { writeFloat4Binary, writeFloat8Binary, writeFloatText } from './float.js';
import {
  writeInt2Binary,
  writeInt2Text,
  writeInt4Binary,
  writeInt4Text,
  writeInt8Binary,
  writeInt8Text,
  writeUint4Binary,
  writeUint4Text,
} from './integer.js';
import { writeJson, writeJsonbBinary } from './json.js';
import { writeNumericBinary } from './numeric.js';
import { elementOidOf, Oid } from './oids.js';
import type { PackWriter } from './pack-writer.js';
import { serverTextOf, serverTextWriter } from './server-text.js';
import { writeCharBinary, writeCharText, writeText } from './text.js';
import { writeUuidBinary } from './uuid.js';

/**
 * Appends the column value in `source[start, end)` to `out`, as exactly one MessagePack value.
 * @throws DecodeError, with the offset in `source`, when the bytes are not such a value. `out` may then hold part of it.
 */
export type ColumnWriter = (source: Buffer, start: number, end: number, out: PackWriter) => void;

/** How the server sent a value: `t` or `b` in a tuple. */
export type ColumnFormat = 'text' | 'binary';

/**
 * What values become. `lossless`: the closest JavaScript value that loses nothing. `text`: the server's text, which
 * needs text transfer.
 */
export type TypesMode = 'lossless' | 'text';

/**
 * The writer for columns of a type: a built-in one or, for domains, its base type. Of types that are not known, text
 * becomes a string and binary a Buffer.
 */
export function columnWriter(typeOid: number, format: ColumnFormat, mode: TypesMode): ColumnWriter {
  if (format === 'text') {
    return mode === 'text' ? writeText : textWriter(typeOid);
  }
  return binaryWriter(typeOid);
}

const TEXT_WRITERS: ReadonlyMap<number, ColumnWriter> = new Map<number, ColumnWriter>([
  [Oid.bool, writeBooleanText],
  [Oid.bytea, writeByteaText],
  [Oid.char, writeCharText],
  [Oid.int2, writeInt2Text],
  [Oid.int4, writeInt4Text],
  [Oid.int8, writeInt8Text],
  [Oid.oid, writeUint4Text],
  [Oid.xid, writeUint4Text],
  [Oid.cid, writeUint4Text],
  [Oid.float4, writeFloatText],
  [Oid.float8, writeFloatText],
  [Oid.json, writeJson],
  [Oid.jsonb, writeJson],
  [Oid.date, writeDateText],
  [Oid.time, writeTimeText],
  [Oid.timetz, writeTimetzText],
  [Oid.timestamp, writeTimestampText],
  [Oid.timestamptz, writeTimestamptzText],
]);

const BINARY_WRITERS: ReadonlyMap<number, ColumnWriter> = new Map<number, ColumnWriter>([
  [Oid.bool, writeBooleanBinary],
  [Oid.bytea, writeByteaBinary],
  [Oid.char, writeCharBinary],
  [Oid.name, writeText],
  [Oid.text, writeText],
  [Oid.varchar, writeText],
  [Oid.bpchar, writeText],
  [Oid.xml, writeText],
  [Oid.refcursor, writeText],
  [Oid.cstring, writeText],
  [Oid.int2, writeInt2Binary],
  [Oid.int4, writeInt4Binary],
  [Oid.int8, writeInt8Binary],
  [Oid.oid, writeUint4Binary],
  [Oid.xid, writeUint4Binary],
  [Oid.cid, writeUint4Binary],
  [Oid.float4, writeFloat4Binary],
  [Oid.float8, writeFloat8Binary],
  [Oid.numeric, writeNumericBinary],
  [Oid.uuid, writeUuidBinary],
  [Oid.json, writeJson],
  [Oid.jsonb, writeJsonbBinary],
  [Oid.date, writeDateBinary],
  [Oid.time, writeTimeBinary],
  [Oid.timetz, writeTimetzBinary],
  [Oid.timestamp, writeTimestampBinary],
  [Oid.timestamptz, writeTimestamptzBinary],
]);

function textWriter(typeOid: number): ColumnWriter {
  const elementOid = elementOidOf(typeOid);
  if (elementOid !== undefined) {
    // box is the only type whose arrays are not separated by commas.
    return arrayTextWriter(textWriter(elementOid), elementOid === Oid.box ? ';' : ',');
  }
  return TEXT_WRITERS.get(typeOid) ?? writeText;
}

function binaryWriter(typeOid: number): ColumnWriter {
  if (elementOidOf(typeOid) !== undefined) {
    // An element is never an array itself, whatever OID the bytes name: that bounds the recursion.
    return arrayBinaryWriter(scalarBinaryWriter);
  }
  return scalarBinaryWriter(typeOid);
}

function scalarBinaryWriter(typeOid: number): ColumnWriter {
  const writer = BINARY_WRITERS.get(typeOid);
  if (writer !== undefined) {
    return writer;
  }
  const serverText = serverTextOf(typeOid);
  return serverText === undefined ? writeByteaBinary : serverTextWriter(serverText);
}
