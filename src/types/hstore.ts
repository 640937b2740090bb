import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';
import { writeCopied } from './quoted-token.js';
import { writeText } from './text.js';

/*
 * hstore, as an object of strings and nulls.
 *   https://www.postgresql.org/docs/current/hstore.html
 *   https://github.com/postgres/postgres/blob/master/contrib/hstore/hstore_io.c
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * hstore text:
 * ```
 * hstore   [pair (", " pair)*]
 * pair     string => ( string | NULL )
 * string   "quoted", in which a backslash stands before any character taken literally
 * ```
 */
export function writeHstoreText(source: Buffer, start: number, end: number, out: PackWriter): void {
  const header = out.writeObjectHeader(0);
  let pairCount = 0;
  for (let at = start; at < end; pairCount++) {
    if (pairCount > 0) at = expect(source, at, end, ', ');
    at = expect(source, writeQuoted(source, at, end, out), end, '=>');
    if (source[at] === QUOTE) {
      at = writeQuoted(source, at, end, out);
    } else {
      at = expect(source, at, end, 'NULL');
      out.writeNil();
    }
  }
  out.setObjectLength(header, pairCount);
}

function expect(source: Buffer, at: number, end: number, text: string): number {
  const next = at + text.length;
  if (next > end || source.toString('latin1', at, next) !== text) {
    throw new DecodeError('hstore is not a list of pairs', { offset: at });
  }
  return next;
}

function writeQuoted(source: Buffer, start: number, end: number, out: PackWriter): number {
  if (start >= end || source[start] !== QUOTE) {
    throw new DecodeError('hstore has something outside quotes', { offset: start });
  }
  let escapeCount = 0;
  let at = start + 1;
  for (; at < end && source[at] !== QUOTE; at++) {
    if (source[at] === BACKSLASH) {
      escapeCount++;
      at++;
    }
  }
  if (at >= end) throw new DecodeError('hstore has a quote that is not closed', { offset: start });
  if (escapeCount === 0) {
    writeText(source, start + 1, at, out);
  } else {
    writeCopied(unescaped(source, start + 1, at), start, out, writeText);
  }
  return at + 1;
}

function unescaped(source: Buffer, start: number, end: number): Buffer {
  const plain = Buffer.allocUnsafe(end - start);
  let to = 0;
  for (let at = start; at < end; at++) {
    if (source[at] === BACKSLASH) at++;
    plain[to++] = source[at];
  }
  return plain.subarray(0, to);
}

/** hstore binary: int32 count of pairs, then for each int32 length and key, int32 length (-1 for null) and value. */
export function writeHstoreBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  const count = end - start < 4 ? -1 : source.readInt32BE(start);
  // A pair takes eight bytes at least.
  if (count < 0 || count > (end - start - 4) / 8) throw new DecodeError(`hstore of ${count} pairs`, { offset: start });
  out.writeObjectHeader(count);
  let at = start + 4;
  for (let pair = 0; pair < count; pair++) {
    const keyEnd = partEnd(source, at, end);
    if (keyEnd < at + 4) throw new DecodeError('hstore with a null key', { offset: at });
    writeText(source, at + 4, keyEnd, out);
    at = keyEnd;
    const valueEnd = partEnd(source, at, end);
    if (valueEnd < at + 4) {
      out.writeNil();
      at += 4;
    } else {
      writeText(source, at + 4, valueEnd, out);
      at = valueEnd;
    }
  }
  if (at !== end) throw new DecodeError('hstore has something after its last pair', { offset: at });
}

/** Where the string whose length stands at `at` ends; one byte before it begins when it is null. */
function partEnd(source: Buffer, at: number, end: number): number {
  const byteCount = end - at < 4 ? -2 : source.readInt32BE(at);
  if (byteCount < -1 || byteCount > end - at - 4) {
    throw new DecodeError('hstore has a string that goes beyond its end', { offset: at });
  }
  return at + 4 + byteCount;
}

/** The server's text of a binary hstore. */
export function hstoreText(bytes: Buffer): string {
  const count = bytes.readInt32BE(0);
  const pairs: string[] = [];
  let at = 4;
  for (let pair = 0; pair < count; pair++) {
    const keyEnd = partEnd(bytes, at, bytes.length);
    const valueEnd = partEnd(bytes, keyEnd, bytes.length);
    const isNull = valueEnd < keyEnd + 4;
    const value = isNull ? 'NULL' : quoted(bytes.toString('utf8', keyEnd + 4, valueEnd));
    pairs.push(`${quoted(bytes.toString('utf8', at + 4, keyEnd))}=>${value}`);
    at = isNull ? keyEnd + 4 : valueEnd;
  }
  return pairs.join(', ');
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
