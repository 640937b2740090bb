import { ByteWriter } from './byte-writer.js';
import { COPY_DATA } from './frame-scan.js';

/** Bytes of the length field, which counts itself. */
const LENGTH_BYTES = 4;

/**
 * CopyData: 'd' length:Int32 payload:Byte[]
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYDATA
 */
export function encodeCopyData(payload: Uint8Array): Buffer {
  const out = new ByteWriter();
  out.uint8(COPY_DATA, 'tag');
  out.int32(payload.length + LENGTH_BYTES, 'length');
  out.bytes(payload, 'payload');
  return out.take();
}
