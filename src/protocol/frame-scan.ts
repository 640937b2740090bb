import { ProtocolError } from '../errors.js';

/** Bytes before the body of a backend message: type:Byte1 length:Int32 (the length counts itself, not the type). */
export const FRAME_HEADER_BYTES = 5;
export const COPY_DATA = 0x64; // d

/** Told of each complete backend message: type byte, and where its body lies in the scanned memory. */
export interface FrameHandler {
  onFrame(type: number, bodyStart: number, bodyEnd: number): void;
}

/**
 * Cuts `[start, end)` into backend messages and hands each to `handler`; returns the offset of the first byte that is
 * not part of a complete one. A message beyond `maxBodyBytes` is a {@link ProtocolError} as soon as its header is
 * seen, before any memory is made for it.
 *
 * @see https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
 */
export function scanFrames(
  bytes: Uint8Array,
  start: number,
  end: number,
  maxBodyBytes: number,
  handler: FrameHandler,
): number {
  let at = start;
  while (end - at >= FRAME_HEADER_BYTES) {
    const frameEnd = at + 1 + frameLength(bytes, at, maxBodyBytes);
    if (frameEnd > end) break;
    handler.onFrame(bytes[at], at + FRAME_HEADER_BYTES, frameEnd);
    at = frameEnd;
  }
  return at;
}

/** The length field of the message whose header starts at `at`, checked. */
export function frameLength(bytes: Uint8Array, at: number, maxBodyBytes: number): number {
  const length = ((bytes[at + 1] << 24) | (bytes[at + 2] << 16) | (bytes[at + 3] << 8) | bytes[at + 4]) >>> 0;
  if (length < 4 || length - 4 > maxBodyBytes) {
    throw new ProtocolError(
      length < 4
        ? `message length ${length}; at least 4 is needed`
        : `message of ${length - 4} bytes; at most ${maxBodyBytes} are accepted: raise maxMessageBytes, or keep the large column out of the publication with a column list`,
      { offset: at, tag: String.fromCharCode(bytes[at]) },
    );
  }
  return length;
}
