import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';
import { bitStringText } from './bit-string.js';
import type { ColumnWriter } from './column-writer.js';
import { writeDateBinary, writeTimestampBinary, writeTimestamptzBinary } from './date-time-binary.js';
import { boxText, circleText, lineText, lsegText, pathText, pointText, polygonText } from './geometry.js';
import { intervalText } from './interval.js';
import { moneyText } from './money.js';
import { macAddressText, networkText } from './network.js';
import { writeNumericBinary } from './numeric.js';
import { Oid } from './oids.js';
import { PackWriter } from './pack-writer.js';
import { multirangeText, rangeText } from './range.js';
import { tsqueryText, tsvectorText } from './text-search.js';
import { pgLsnText, snapshotText, tidText, xid8Text } from './transaction-types.js';

/**
 * The text that the server would send for a binary value, for types whose JavaScript value is that text. `bytes` is the
 * whole value. Reading beyond its end may throw a RangeError: {@link serverTextWriter} makes a DecodeError of it.
 */
export type ServerText = (bytes: Buffer) => string;

/** Text of a binary built-in type that is a string to JavaScript; undefined for every other type. */
export function serverTextOf(typeOid: number): ServerText | undefined {
  return SERVER_TEXTS.get(typeOid);
}

/** A writer of that text, for types that are not worth a writer of their own. */
export function serverTextWriter(serverText: ServerText): ColumnWriter {
  return (source, start, end, out) => {
    let text: string;
    try {
      text = serverText(source.subarray(start, end));
    } catch (error) {
      if (error instanceof DecodeError) {
        throw new DecodeError(error.message, { offset: start + error.offset });
      }
      if (error instanceof RangeError) {
        throw new DecodeError('binary value ends early', { offset: start });
      }
      throw error;
    }
    out.writeString(text);
  };
}

const SERVER_TEXTS: ReadonlyMap<number, ServerText> = new Map<number, ServerText>([
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
  [Oid.int4range, (bytes) => rangeText(bytes, int4Text)],
  [Oid.int8range, (bytes) => rangeText(bytes, int8Text)],
  [Oid.numrange, (bytes) => rangeText(bytes, numericText)],
  [Oid.daterange, (bytes) => rangeText(bytes, dateText)],
  [Oid.tsrange, (bytes) => rangeText(bytes, timestampText)],
  [Oid.tstzrange, (bytes) => rangeText(bytes, timestamptzText)],
  [Oid.int4multirange, (bytes) => multirangeText(bytes, int4Text)],
  [Oid.int8multirange, (bytes) => multirangeText(bytes, int8Text)],
  [Oid.nummultirange, (bytes) => multirangeText(bytes, numericText)],
  [Oid.datemultirange, (bytes) => multirangeText(bytes, dateText)],
  [Oid.tsmultirange, (bytes) => multirangeText(bytes, timestampText)],
  [Oid.tstzmultirange, (bytes) => multirangeText(bytes, timestamptzText)],
  [Oid.tid, exactly(6, tidText)],
  [Oid.xid8, exactly(8, xid8Text)],
  [Oid.pgLsn, exactly(8, pgLsnText)],
  [Oid.pgSnapshot, snapshotText],
  [Oid.txidSnapshot, snapshotText],
  [Oid.oidvector, (bytes) => vectorText(bytes, 4)],
  [Oid.int2vector, (bytes) => vectorText(bytes, 2)],
  [Oid.jsonpath, jsonpathText],
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

function int4Text(bytes: Buffer): string {
  return String(bytes.readInt32BE(0));
}

function int8Text(bytes: Buffer): string {
  return String(bytes.readBigInt64BE(0));
}

function numericText(bytes: Buffer): string {
  return packedText(writeNumericBinary, bytes);
}

function dateText(bytes: Buffer): string {
  return postgresDate(packedText(writeDateBinary, bytes));
}

function timestampText(bytes: Buffer): string {
  return postgresDate(packedText(writeTimestampBinary, bytes));
}

function timestamptzText(bytes: Buffer): string {
  return postgresDate(packedText(writeTimestamptzBinary, bytes));
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

/** jsonpath binary: a version byte 1, then the text. */
function jsonpathText(bytes: Buffer): string {
  const text = bytes.subarray(1);
  if (bytes[0] !== 1 || !isUtf8(text)) {
    throw new DecodeError('jsonpath has an unknown version or is not valid UTF-8', { offset: 0 });
  }
  return text.toString('utf8');
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
