import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';
import { bitStringText } from './bit-string.js';
import type { ColumnWriter } from './column-writer.js';
import {
  writeDateBinary,
  writeTimeBinary,
  writeTimestampBinary,
  writeTimestamptzBinary,
  writeTimetzBinary,
} from './date-time-binary.js';
import { float4Text, float8Text } from './float8-text.js';
import { boxText, circleText, lineText, lsegText, pathText, pointText, polygonText } from './geometry.js';
import { intervalText } from './interval.js';
import { moneyText } from './money.js';
import { macAddressText, networkText } from './network.js';
import { writeNumericBinary } from './numeric.js';
import { Oid } from './oids.js';
import { PackWriter } from './pack-writer.js';
import { writeCharBinary } from './text.js';
import { tsqueryText, tsvectorText } from './text-search.js';
import { pgLsnText, snapshotText, tidText, xid8Text } from './transaction-types.js';
import { writeUuidBinary } from './uuid.js';

/**
 * The text that the server would send for a binary value. `bytes` is the whole value. Reading beyond its end may throw a RangeError: {@link serverTextWriter} makes a DecodeError of it.
 */
export type ServerText = (bytes: Buffer) => string;

/** Prints a built-in type that has no parts; undefined for every other type. */
export function serverTextOf(typeOid: number): ServerText | undefined {
  return SERVER_TEXTS.get(typeOid);
}

/** A writer of that text, for types that are not worth a writer of their own. */
export function serverTextWriter(serverText: ServerText): ColumnWriter {
  return (source, start, end, out) => out.writeString(printed(serverText, source, start, end));
}

/** The text of the value in `source[start, end)`. @throws DecodeError, whatever the bytes are. */
export function printed(serverText: ServerText, source: Buffer, start: number, end: number): string {
  try {
    return serverText(source.subarray(start, end));
  } catch (error) {
    if (error instanceof DecodeError) {
      throw new DecodeError(error.message, { offset: start + error.offset });
    }
    if (error instanceof RangeError) {
      throw new DecodeError('binary value ends early', { offset: start });
    }
    throw error;
  }
}

const SERVER_TEXTS: ReadonlyMap<number, ServerText> = new Map<number, ServerText>([
  [Oid.bool, exactly(1, (bytes) => (bytes[0] === 0 ? 'f' : 't'))],
  [Oid.bytea, (bytes) => `\\x${bytes.toString('hex')}`],
  [Oid.char, (bytes) => packedText(writeCharBinary, bytes)],
  [Oid.name, utf8Text],
  [Oid.text, utf8Text],
  [Oid.varchar, utf8Text],
  [Oid.bpchar, utf8Text],
  [Oid.xml, utf8Text],
  [Oid.refcursor, utf8Text],
  [Oid.cstring, utf8Text],
  [Oid.json, utf8Text],
  [Oid.jsonb, versionedText],
  [Oid.int2, exactly(2, (bytes) => String(bytes.readInt16BE(0)))],
  [Oid.int4, exactly(4, (bytes) => String(bytes.readInt32BE(0)))],
  [Oid.int8, exactly(8, (bytes) => String(bytes.readBigInt64BE(0)))],
  [Oid.oid, exactly(4, oidText)],
  [Oid.xid, exactly(4, oidText)],
  [Oid.cid, exactly(4, oidText)],
  [Oid.float4, exactly(4, (bytes) => float4Text(bytes.readFloatBE(0)))],
  [Oid.float8, exactly(8, (bytes) => float8Text(bytes.readDoubleBE(0)))],
  [Oid.numeric, (bytes) => packedText(writeNumericBinary, bytes)],
  [Oid.uuid, (bytes) => packedText(writeUuidBinary, bytes)],
  [Oid.date, (bytes) => postgresDate(packedText(writeDateBinary, bytes))],
  [Oid.time, (bytes) => packedText(writeTimeBinary, bytes)],
  [Oid.timetz, (bytes) => packedText(writeTimetzBinary, bytes).replace(/([+-]\d\d):00$/, '$1')],
  [Oid.timestamp, (bytes) => postgresDate(packedText(writeTimestampBinary, bytes))],
  [Oid.timestamptz, (bytes) => postgresDate(packedText(writeTimestamptzBinary, bytes))],
  [Oid.money, exactly(8, moneyText)],
  [Oid.interval, exactly(16, intervalText)],
  [Oid.inet, networkText],
  [Oid.cidr, networkText],
  [Oid.macaddr, macAddressText],
  [Oid.macaddr8, macAddressText],
  [Oid.bit, bitStringText],
  [Oid.varbit, bitStringText],
  [Oid.point, pointText],
  [Oid.line, lineText],
  [Oid.lseg, lsegText],
  [Oid.box, boxText],
  [Oid.path, pathText],
  [Oid.polygon, polygonText],
  [Oid.circle, circleText],
  [Oid.tsvector, tsvectorText],
  [Oid.tsquery, tsqueryText],
  [Oid.tid, exactly(6, tidText)],
  [Oid.xid8, exactly(8, xid8Text)],
  [Oid.pgLsn, exactly(8, pgLsnText)],
  [Oid.pgSnapshot, snapshotText],
  [Oid.txidSnapshot, snapshotText],
  [Oid.oidvector, (bytes) => vectorText(bytes, 4)],
  [Oid.int2vector, (bytes) => vectorText(bytes, 2)],
  [Oid.jsonpath, versionedText],
  // Binary carries the OID alone. Its digits are what the server prints for an object that is gone.
  [Oid.regproc, exactly(4, oidText)],
  [Oid.regprocedure, exactly(4, oidText)],
  [Oid.regoper, exactly(4, oidText)],
  [Oid.regoperator, exactly(4, oidText)],
  [Oid.regclass, exactly(4, oidText)],
  [Oid.regtype, exactly(4, oidText)],
  [Oid.regrole, exactly(4, oidText)],
  [Oid.regnamespace, exactly(4, oidText)],
  [Oid.regconfig, exactly(4, oidText)],
  [Oid.regdictionary, exactly(4, oidText)],
  [Oid.regcollation, exactly(4, oidText)],
]);

function exactly(byteCount: number, serverText: ServerText): ServerText {
  return (bytes) => {
    if (bytes.length !== byteCount) {
      throw new DecodeError(`binary value takes ${bytes.length} bytes instead of ${byteCount}`, { offset: 0 });
    }
    return serverText(bytes);
  };
}

function oidText(bytes: Buffer): string {
  return String(bytes.readUInt32BE(0));
}

function utf8Text(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new DecodeError('text is not valid UTF-8', { offset: 0 });
  return bytes.toString('utf8');
}

/** Turns ISO 8601 into what DateStyle ISO prints: years before 1 as BC, a space before the time, +00 for UTC. */
function postgresDate(iso: string): string {
  const match = /^([+-]?\d+)(-\d\d-\d\d)(?:T([\d:.]+)(Z?))?$/.exec(iso);
  if (match === null) {
    return iso;
  }
  const [, yearText, monthAndDay, time, zone] = match;
  const year = Number(yearText);
  const date = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}${monthAndDay}`;
  return `${date}${time === undefined ? '' : ` ${time}`}${zone === 'Z' ? '+00' : ''}${year > 0 ? '' : ' BC'}`;
}

/** int2vector and oidvector: one-dimensional arrays without nulls, printed with spaces. */
function vectorText(bytes: Buffer, elementByteCount: number): string {
  const dimensions = bytes.readInt32BE(0);
  if (dimensions !== 1) {
    if (dimensions === 0 && bytes.length === 12) {
      return '';
    }
    throw new DecodeError(`vector has ${dimensions} dimensions`, { offset: 0 });
  }
  const count = bytes.readInt32BE(12);
  if (bytes.length !== 20 + count * (4 + elementByteCount)) {
    throw new DecodeError(`vector of ${count} elements takes ${bytes.length} bytes`, { offset: 0 });
  }
  const elements: number[] = [];
  for (let at = 20; at < bytes.length; at += 4 + elementByteCount) {
    elements.push(elementByteCount === 2 ? bytes.readInt16BE(at + 4) : bytes.readUInt32BE(at + 4));
  }
  return elements.join(' ');
}

/** jsonb, jsonpath, ltree: a version byte 1, then the text. */
export function versionedText(bytes: Buffer): string {
  if (bytes[0] !== 1) throw new DecodeError('value of an unknown version', { offset: 0 });
  return utf8Text(bytes.subarray(1));
}

/** The string that a writer packs. */
function packedText(writer: ColumnWriter, bytes: Buffer): string {
  const out = new PackWriter(64);
  writer(bytes, 0, bytes.length, out);
  const packed = out.take();
  const header = packed[0] ?? 0;
  const headerBytes = header < 0xc0 ? 1 : header === 0xd9 ? 2 : header === 0xda ? 3 : 5;
  return packed.toString('latin1', headerBytes);
}
