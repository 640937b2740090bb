import { wrong } from '../errors/option-checks.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES } from '../protocol/replication-message.js';

/** A byte by its number, or a CopyData message by its number and, in it, a byte: header included; default its middle. */
export type FaultPosition =
  | { readonly byte: number }
  | { readonly message: number; readonly byte?: number | 'middle' | 'end' };

/** Where a fault happens. */
export interface PlacedFault {
  /** The byte before which it happens or, for `corrupt`, at which. */
  readonly at: FaultPosition;
  /**
   * What is counted, from 0: bytes and messages from right after CopyBothResponse, or the first CopyOutResponse of a
   * backup, on (`stream`, the default), or from
   * the first byte that the server sends on a connection (`connection`).
   */
  readonly from?: 'stream' | 'connection';
}

/**
 * Something that goes wrong, told apart by `kind`. It happens once, on the first connection that comes to its place,
 * and then no more; a `slice` concerns every stream, and `refuse` says for itself.
 *
 * - `refuse`: connections are closed, or get an ErrorResponse instead of a session: `times`, or for `forMs`
 * - `cut`: the connection is gone, in the middle of a message or between two
 * - `stall`: the server sends nothing more and answers nothing; it still reads
 * - `freeze`: half-open: it neither reads nor writes nor closes, as when its host has lost power
 * - `corrupt`: bits are flipped (`xor`, default 0xff), or bytes replaced
 * - `frameLength`: a message whose length field says something else
 * - `columnLength`: an Insert whose column claims this many bytes; columns are counted from 0
 * - `slice`: everything is sent in pieces of `bytes`, or of 1 to `maxBytes` by a seeded choice, each by itself;
 *   or only what lies before the byte `at` comes apart from the rest
 */
export type Fault =
  | RefuseFault
  | ({ readonly kind: 'cut' | 'stall' | 'freeze' } & PlacedFault)
  | CorruptFault
  | { readonly kind: 'frameLength'; readonly message: number; readonly length: number }
  | { readonly kind: 'columnLength'; readonly message: number; readonly column: number; readonly length: number }
  | SliceFault;

/** Connections that come to nothing. */
export interface RefuseFault {
  readonly kind: 'refuse';
  /** Default: once, or any number while `forMs` lasts. */
  readonly times?: number;
  /** From when it is ordered. */
  readonly forMs?: number;
  /** Sent after the StartupMessage, such as 53300 or 57P03. Without it the connection is closed without a word. */
  readonly sqlState?: string;
  /** Of that ErrorResponse. */
  readonly message?: string;
}

/** Bytes that are not what was sent. */
export interface CorruptFault extends PlacedFault {
  readonly kind: 'corrupt';
  /** Bits to flip in the byte there. */
  readonly xor?: number;
  /** Or bytes to put there. */
  readonly replaceBy?: Uint8Array;
}

/** How the bytes of a stream are cut into writes; `bytes`, `maxBytes` or `at` says how. */
export interface SliceFault {
  readonly kind: 'slice';
  /** Number of the byte, from 0, before which the stream is cut once. */
  readonly at?: number;
  /** Length of every piece. */
  readonly bytes?: number;
  /** The same seed cuts at the same places. */
  readonly seed?: number;
  /** Longest piece of those cut by `seed`. */
  readonly maxBytes?: number;
}

/** A fault that happens in the course of one connection's bytes. */
export type ByteFault = Exclude<Fault, RefuseFault | SliceFault>;
export type StopFault = Extract<ByteFault, { kind: 'cut' | 'stall' | 'freeze' }>;

const SQL_STATE = /^[0-9A-Z]{5}$/;
const MAX_LENGTH = 0xffff_ffff;

/** ConfigurationError names the field at fault. */
export function checkFault(fault: Fault): void {
  if (typeof fault !== 'object' || fault === null) throw wrong('fault', 'must be an object with a kind');
  switch (fault.kind) {
    case 'refuse':
      checkInteger(fault.times, 'fault.times', 1);
      checkInteger(fault.forMs, 'fault.forMs', 1);
      if (fault.sqlState !== undefined && !SQL_STATE.test(fault.sqlState)) {
        throw wrong('fault.sqlState', 'must be five digits or capital letters');
      }
      return;
    case 'corrupt':
      checkInteger(fault.xor, 'fault.xor', 1, 0xff);
      checkPosition(fault);
      return;
    case 'cut':
    case 'stall':
    case 'freeze':
      checkPosition(fault);
      return;
    case 'frameLength':
    case 'columnLength':
      checkInteger(fault.message ?? -1, 'fault.message', 0);
      checkInteger(fault.length ?? -1, 'fault.length', 0, MAX_LENGTH);
      if (fault.kind === 'columnLength') checkInteger(fault.column ?? -1, 'fault.column', 0);
      return;
    case 'slice':
      checkInteger(fault.at, 'fault.at', 0);
      checkInteger(fault.bytes, 'fault.bytes', 1);
      checkInteger(fault.maxBytes, 'fault.maxBytes', 1);
      return;
    default:
      fault satisfies never;
      throw wrong('fault.kind', `${JSON.stringify((fault as Fault).kind)} is no kind of fault`);
  }
}

function checkPosition({ at, from }: PlacedFault): void {
  if (typeof at !== 'object' || at === null) throw wrong('fault.at', 'must be { byte } or { message }');
  if (from !== undefined && from !== 'stream' && from !== 'connection') {
    throw wrong('fault.from', 'must be stream or connection');
  }
  if ('message' in at) {
    if (from === 'connection') throw wrong('fault.at.message', "counts messages of a stream: from must be 'stream'");
    checkInteger(at.message, 'fault.at.message', 0);
    if (typeof at.byte === 'string' && (at.byte === 'middle' || at.byte === 'end')) return;
    checkInteger(at.byte as number | undefined, 'fault.at.byte', 0);
  } else {
    checkInteger(at.byte ?? -1, 'fault.at.byte', 0);
  }
}

function checkInteger(value: number | undefined, option: string, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw wrong(option, `must be a whole number from ${min} to ${max}`);
}

/** Where a frame lies in what is sent. */
export interface FramePlace {
  /** Number of its first byte. */
  readonly byte: number;
  /** Number of the CopyData message that it is; absent for other messages, and for bytes that may hold several. */
  readonly message: number | undefined;
  readonly length: number;
}

/** Offset in the frame at which the position lies, up to its length; `undefined` when it lies elsewhere. */
export function offsetInFrame(at: FaultPosition, frame: FramePlace): number | undefined {
  if ('message' in at) {
    if (at.message !== frame.message) return undefined;
    const { byte = 'middle' } = at;
    if (byte === 'end') return frame.length;
    return byte === 'middle' ? frame.length >> 1 : Math.min(byte, frame.length);
  }
  const offset = at.byte - frame.byte;
  return offset >= 0 && offset <= frame.length ? offset : undefined;
}

/** The frame as the fault makes it, if it is at its place there; else `undefined`. */
export function rewriteFrame(fault: ByteFault, frame: Buffer, place: FramePlace): Buffer | undefined {
  switch (fault.kind) {
    case 'corrupt': {
      const offset = offsetInFrame(fault.at, place);
      if (offset === undefined || offset >= frame.length) return undefined;
      const changed = Buffer.from(frame);
      if (fault.replaceBy === undefined) changed[offset] = (changed[offset] ?? 0) ^ (fault.xor ?? 0xff);
      else changed.set(fault.replaceBy.subarray(0, frame.length - offset), offset);
      return changed;
    }
    case 'frameLength': {
      if (fault.message !== place.message) return undefined;
      const changed = Buffer.from(frame);
      changed.writeUInt32BE(fault.length, 1);
      return changed;
    }
    case 'columnLength': {
      if (fault.message !== place.message) return undefined;
      const changed = Buffer.from(frame);
      changed.writeUInt32BE(fault.length, columnLengthAt(frame, fault.column));
      return changed;
    }
    default:
      return undefined;
  }
}

/** Insert, outside a streamed block: 'I' relationId:Int32 'N' columnCount:Int16 (kind:Byte1 [length:Int32 value])* */
function columnLengthAt(frame: Buffer, column: number): number {
  const message = FRAME_HEADER_BYTES + XLOG_DATA_HEADER_BYTES;
  if (frame[0] !== COPY_DATA || frame[message] !== 0x49) throw wrong('fault.message', 'must be an Insert');
  const count = frame.readUInt16BE(message + 6);
  let at = message + 8;
  for (let index = 0; index < count; index++) {
    const hasLength = frame[at] === 0x74 || frame[at] === 0x62; // t, b
    if (index === column && hasLength) return at + 1;
    at += hasLength ? 5 + frame.readUInt32BE(at + 1) : 1;
  }
  throw wrong('fault.column', `${column} has no length in this message of ${count} columns`);
}
