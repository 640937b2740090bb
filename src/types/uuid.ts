import { HEX_PAIRS } from './hex-digits.js';
import { requireByteCount } from './integer.js';
import type { PackWriter } from './pack-writer.js';

/** uuid binary: 16 bytes. Its text is the value in the text form. */
export function writeUuidBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 16);
  out.writeStringHeader(36);
  const { bytes, view } = out;
  let to = out.position;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) {
      bytes[to++] = 0x2d;
    }
    view.setUint16(to, HEX_PAIRS[source[start + index] ?? 0] ?? 0);
    to += 2;
  }
  out.position = to;
}
