import { DecodeError } from '../errors.js';
import { MAX_ARRAY_DIMENSIONS } from './array-text.js';
import { countBinaryFields } from './composite.js';
import { hstoreText } from './hstore.js';
import { Oid } from './oids.js';
import { multirangeText, rangeText } from './range.js';
import { type ServerText, serverTextOf, versionedText } from './server-text.js';
import { builtinShapeOf, type TypeDescriptor, type TypeShape } from './type-descriptor.js';

/** Types whose binary form is their text, by the function that sends them: citext is one. */
export const TEXT_SENDS: ReadonlySet<string> = new Set([
  'textsend',
  'varcharsend',
  'bpcharsend',
  'namesend',
  'unknownsend',
  'cstring_send',
  'enum_send',
]);

/** Types whose binary form is a version byte 1 and their text. */
export const VERSIONED_TEXT_SENDS: ReadonlySet<string> = new Set(['ltree_send', 'lquery_send', 'ltxtq_send']);

/** Types in types; beyond, nothing is printed: every level of quotes doubles those within it. */
const MAX_DEPTH = 10;

/** Prints binary values of any type as the server does, types with parts included. */
export class BinaryText {
  readonly #types: ReadonlyMap<number, TypeDescriptor>;

  constructor(types: ReadonlyMap<number, TypeDescriptor>) {
    this.#types = types;
  }

  /** Undefined when the type, or one that it is made of, is not known. */
  find(typeOid: number, depth = 0): ServerText | undefined {
    if (depth === MAX_DEPTH) return undefined;
    const shape: TypeShape | undefined = this.#types.get(typeOid) ?? builtinShapeOf(typeOid);
    switch (shape?.kind) {
      case undefined:
        return serverTextOf(typeOid);
      case 'enum':
        return serverTextOf(Oid.text);
      case 'domain':
        return this.find(shape.baseOid, depth + 1);
      case 'base':
        return baseText(shape.send);
      case 'composite':
        return (bytes) => recordText(bytes, (oid) => this.find(oid, depth + 1));
      case 'array': {
        const element = this.find(shape.elementOid, depth + 1);
        return element === undefined ? undefined : (bytes) => arrayText(bytes, element, shape.delimiter);
      }
      case 'range': {
        const bound = this.find(shape.subtypeOid, depth + 1);
        return bound === undefined ? undefined : (bytes) => rangeText(bytes, bound);
      }
      case 'multirange': {
        const range: TypeShape | undefined = this.#types.get(shape.rangeOid) ?? builtinShapeOf(shape.rangeOid);
        const bound = range?.kind === 'range' ? this.find(range.subtypeOid, depth + 1) : undefined;
        return bound === undefined ? undefined : (bytes) => multirangeText(bytes, bound);
      }
      default:
        return shape satisfies never;
    }
  }
}

function baseText(send: string): ServerText | undefined {
  if (send === 'hstore_send') return hstoreText;
  if (TEXT_SENDS.has(send)) return serverTextOf(Oid.text);
  return VERSIONED_TEXT_SENDS.has(send) ? versionedText : undefined;
}

/** A field whose type is not known is printed as its bytes. */
function recordText(bytes: Buffer, printerOf: (typeOid: number) => ServerText | undefined): string {
  const count = countBinaryFields(bytes, 0, bytes.length);
  const fields: string[] = [];
  let at = 4;
  for (let field = 0; field < count; field++) {
    const print = printerOf(bytes.readUInt32BE(at)) ?? hexText;
    const byteCount = bytes.readInt32BE(at + 4);
    at += 8;
    if (byteCount === -1) {
      fields.push('');
      continue;
    }
    const text = print(bytes.subarray(at, at + byteCount));
    fields.push(text === '' || /["\\(), \t\n\v\f\r]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text);
    at += byteCount;
  }
  return `(${fields.join(',')})`;
}

function hexText(bytes: Buffer): string {
  return `\\x${bytes.toString('hex')}`;
}

/** With bounds when one of them is not 1, as array_out prints it. The form is described at `arrayBinaryWriter`. */
function arrayText(bytes: Buffer, elementText: ServerText, delimiter: string): string {
  const dimensions = bytes.readInt32BE(0);
  if (dimensions < 0 || dimensions > MAX_ARRAY_DIMENSIONS) {
    throw new DecodeError(`array has ${dimensions} dimensions`, { offset: 0 });
  }
  const lengths: number[] = [];
  let bounds = '';
  let hasBounds = false;
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const length = bytes.readInt32BE(12 + 8 * dimension);
    const lower = bytes.readInt32BE(16 + 8 * dimension);
    if (length < 0 || length > bytes.length / 4)
      throw new DecodeError('array has more elements than bytes', { offset: 0 });
    lengths.push(length);
    bounds += `[${lower}:${lower + length - 1}]`;
    hasBounds ||= lower !== 1;
  }
  if (dimensions === 0 || lengths.includes(0)) return '{}';
  let at = 12 + 8 * dimensions;
  const items = (dimension: number): string => {
    const parts: string[] = [];
    for (let index = 0; index < lengths[dimension]; index++) {
      if (dimension + 1 < dimensions) {
        parts.push(items(dimension + 1));
        continue;
      }
      const byteCount = bytes.readInt32BE(at);
      at += 4;
      if (byteCount < -1 || byteCount > bytes.length - at) {
        throw new DecodeError(`array element of ${byteCount} bytes`, { offset: at });
      }
      parts.push(byteCount === -1 ? 'NULL' : quotedItem(elementText(bytes.subarray(at, at + byteCount)), delimiter));
      at += Math.max(byteCount, 0);
    }
    return `{${parts.join(delimiter)}}`;
  };
  const text = items(0);
  if (at !== bytes.length) throw new DecodeError('array has something after its last element', { offset: at });
  return `${hasBounds ? `${bounds}=` : ''}${text}`;
}

function quotedItem(text: string, delimiter: string): string {
  const needsQuotes =
    text === '' || text.includes(delimiter) || /^null$/i.test(text) || /["\\{} \t\n\v\f\r]/.test(text);
  return needsQuotes ? `"${text.replace(/["\\]/g, '\\$&')}"` : text;
}
