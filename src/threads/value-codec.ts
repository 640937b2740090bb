import { createRequire } from 'node:module';
import type * as Msgpackr from 'msgpackr';
import { EXTENSION_UNCHANGED } from '../types/pack-extensions.js';
import { UNCHANGED } from '../types/unchanged.js';

/*
 * What a transform returns crosses threads as msgpack: plain objects, arrays, strings, numbers, bigints, booleans,
 * null, dates, bytes and UNCHANGED. A key named `__proto__` becomes `__proto_`: msgpackr's reader renames it.
 */

/** Stands in for UNCHANGED while it is packed: msgpackr takes no symbols. */
class UnchangedMarker {}

const UNCHANGED_MARKER = new UnchangedMarker();

interface Codec {
  readonly packr: Msgpackr.Packr;
  readonly unpackr: Msgpackr.Unpackr;
}

/** Made when first needed: a stream without a transform has no use for it, nor have its threads. */
let codec: Codec | undefined;

function makeCodec(): Codec {
  const { addExtension, Packr, Unpackr } = createRequire(import.meta.url)('msgpackr') as typeof Msgpackr;
  addExtension({
    Class: UnchangedMarker,
    type: EXTENSION_UNCHANGED,
    pack: () => Buffer.of(0),
    unpack: Object.assign((): typeof UNCHANGED => UNCHANGED, { noBuffer: true }),
  });
  const packr = new Packr({ useRecords: false, moreTypes: true });
  // Of itself it would write `undefined`, and the value were lost without a word.
  Object.assign(packr, {
    writeFunction: () => {
      throw new TypeError('a function cannot leave its worker: return data');
    },
  });
  return {
    packr,
    unpackr: new Unpackr({ useRecords: false, mapsAsObjects: true, moreTypes: true, copyBuffers: true } as object),
  };
}

/** The value as msgpack, in memory that the next call may write over. */
export function packValue(value: unknown): Uint8Array {
  codec ??= makeCodec();
  const { packr } = codec;
  try {
    return packr.pack(value);
  } catch {
    // Only values with symbols come here, so that no others pay for the copy.
    return packr.pack(withMarkers(value));
  }
}

/** The value packed at `[start, end)`. */
export function unpackValue(bytes: Buffer, start: number, end: number): unknown {
  codec ??= makeCodec();
  return codec.unpackr.unpack(bytes, { start, end });
}

function withMarkers(value: unknown): unknown {
  if (value === UNCHANGED) return UNCHANGED_MARKER;
  if (Array.isArray(value)) return value.map(withMarkers);
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, withMarkers(part)]));
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
