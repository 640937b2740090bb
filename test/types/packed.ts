import { type ColumnFormat, columnWriter } from '../../src/types/column-writer.js';
import { PackSource } from '../../src/types/pack-source.js';
import { PackWriter } from '../../src/types/pack-writer.js';
import { createRowReader, ROW_HEADER } from '../../src/types/row-reader.js';
import type { TypesMode } from '../../src/types/type-rules.js';

const reader = createRowReader(['value']);

/**
 * What a column value becomes: written as a row of one column, then read. The bytes stand in the middle of a larger
 * shared buffer, as they do in a slab.
 */
export function decodedValue(
  typeOid: number,
  format: ColumnFormat,
  bytes: Buffer | string,
  mode: TypesMode = 'lossless',
): unknown {
  const packed = packedValue(typeOid, format, bytes, mode);
  return readValue(packed);
}

export function packedValue(
  typeOid: number,
  format: ColumnFormat,
  bytes: Buffer | string,
  mode: TypesMode = 'lossless',
  surroundings = 0x31,
): Buffer {
  const value = Buffer.from(bytes);
  const slab = Buffer.from(new SharedArrayBuffer(value.length + 2 * MARGIN));
  slab.fill(surroundings);
  value.copy(slab, MARGIN);
  const out = new PackWriter(64);
  startRow(out);
  columnWriter(typeOid, format, mode)(slab, MARGIN, MARGIN + value.length, out);
  return out.take();
}

/** Reads a packed row of one column. */
export function readValue(packed: Buffer): unknown {
  return reader.read(new PackSource(packed), 0, packed.length).value;
}

export function startRow(out: PackWriter): void {
  out.reserve(1);
  out.bytes[out.position++] = ROW_HEADER;
}

/** More than any fixed-size value, so that a reader that goes beyond the end finds plausible digits there. */
const MARGIN = 32;
