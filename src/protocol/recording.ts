import { isListOf } from '../errors/option-checks.js';
import { ProtocolError } from '../errors.js';
import { encodeCopyData } from './copy-data.js';
import { COPY_DATA, FRAME_HEADER_BYTES, scanFrames } from './frame-scan.js';
import { encodeKeepalive, encodeXLogData, type PrimaryKeepalive, type XLogDataHeader } from './replication-message.js';

/*
 * A recorded stream: what a server sent after START_REPLICATION, as one file. Bytes only; files are the caller's.
 *
 *   Recording  magic:Byte8 ("PGWALREC") version:Int16 (1) headerLength:Int32 header:Byte[] (JSON) CopyData* End
 *   CopyData   'd' length:Int32 payload:Byte[]     exactly as on the wire: an XLogData or a PrimaryKeepalive
 *   End        'z' length:Int32 (20) messageCount:Int64 byteCount:Int64 (both of the CopyData messages)
 *
 * The CopyData messages lie there as they go to the socket, so that replaying them costs no work. The End tells a whole
 * recording from one that was cut off, also between two messages.
 */

const MAGIC = Buffer.from('PGWALREC', 'latin1');
const VERSION = 1;
const HEADER_LENGTH_AT = MAGIC.length + 2;
const HEADER_AT = HEADER_LENGTH_AT + 4;
const MAX_HEADER_BYTES = 64 * 1024 * 1024;
const END = 0x7a; // z
const END_BODY_BYTES = 16;
const MAX_MESSAGE_BYTES = 1024 ** 3;

/** Where a recording comes from; who replays it gives it out as its own. */
export interface RecordingHeader {
  /** Such as 180004. */
  readonly serverVersion: number;
  readonly systemId: string;
  readonly timeline: number;
  readonly database: string;
  readonly slot: string;
  readonly publications: readonly string[];
  /** What the catalog said of the types of published columns that are not built in, when the recording began. */
  readonly types?: RecordedTypes;
}

/** The answer to the query for types, as the server's text. */
export interface RecordedTypes {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** Turns messages into a recording, piece by piece: `take()` gives the bytes that are due, `finish()` the last ones. */
export class RecordingWriter {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #messages = 0n;
  #bytes = 0n;

  constructor(header: RecordingHeader) {
    const json = Buffer.from(JSON.stringify(header));
    const start = Buffer.alloc(HEADER_AT);
    MAGIC.copy(start);
    start.writeUInt16BE(VERSION, MAGIC.length);
    start.writeUInt32BE(json.length, HEADER_LENGTH_AT);
    this.#push(start);
    this.#push(json);
  }

  /** Bytes that wait to be taken. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get messageCount(): number {
    return Number(this.#messages);
  }

  addXLogData(header: XLogDataHeader, data: Uint8Array): void {
    this.#add(encodeCopyData(encodeXLogData(header, data)));
  }

  addKeepalive(keepalive: PrimaryKeepalive): void {
    this.#add(encodeCopyData(encodeKeepalive(keepalive)));
  }

  take(): Buffer {
    const taken = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    return taken;
  }

  /** What is pending, and the end of the recording. */
  finish(): Buffer {
    const end = Buffer.alloc(FRAME_HEADER_BYTES + END_BODY_BYTES);
    end[0] = END;
    end.writeUInt32BE(END_BODY_BYTES + 4, 1);
    end.writeBigUInt64BE(this.#messages, FRAME_HEADER_BYTES);
    end.writeBigUInt64BE(this.#bytes, FRAME_HEADER_BYTES + 8);
    this.#push(end);
    return this.take();
  }

  #add(copyData: Buffer): void {
    this.#messages++;
    this.#bytes += BigInt(copyData.length);
    this.#push(copyData);
  }

  #push(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }
}

export interface Recording {
  readonly header: RecordingHeader;
  /** The CopyData messages, one after the other; memory of what was parsed. */
  readonly copyData: Buffer;
  readonly messageCount: number;
}

/** @throws ProtocolError with the offset at which it is no recording, or ends too early */
export function parseRecording(bytes: Buffer): Recording {
  if (bytes.length < HEADER_AT || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new ProtocolError('not a recording: it does not begin as one', { offset: 0 });
  }
  const version = bytes.readUInt16BE(MAGIC.length);
  if (version !== VERSION) {
    throw new ProtocolError(`recording of version ${version}; only ${VERSION} is known`, { offset: MAGIC.length });
  }
  const headerLength = bytes.readUInt32BE(HEADER_LENGTH_AT);
  const start = HEADER_AT + headerLength;
  if (headerLength > MAX_HEADER_BYTES || start > bytes.length) throw incomplete(HEADER_LENGTH_AT);
  const header = parseHeader(bytes.subarray(HEADER_AT, start));
  const ends = new EndFinder(bytes);
  const scanned = scanFrames(bytes, start, bytes.length, MAX_MESSAGE_BYTES, ends);
  if (scanned !== bytes.length || ends.endAt === undefined) throw incomplete(scanned);
  const copyData = bytes.subarray(start, ends.endAt);
  const messageCount = bytes.readBigUInt64BE(ends.endAt + FRAME_HEADER_BYTES);
  const byteCount = bytes.readBigUInt64BE(ends.endAt + FRAME_HEADER_BYTES + 8);
  if (messageCount !== BigInt(ends.messages) || byteCount !== BigInt(copyData.length)) {
    throw new ProtocolError(`a recording of ${messageCount} messages holds ${ends.messages}`, { offset: ends.endAt });
  }
  return { header, copyData, messageCount: ends.messages };
}

class EndFinder {
  readonly #bytes: Buffer;
  messages = 0;
  endAt: number | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  onFrame(type: number, bodyStart: number, bodyEnd: number): void {
    const offset = bodyStart - FRAME_HEADER_BYTES;
    if (this.endAt !== undefined) throw new ProtocolError('a recording goes on after its end', { offset });
    if (type === COPY_DATA && bodyEnd > bodyStart) {
      this.messages++;
    } else if (type === END && bodyEnd - bodyStart === END_BODY_BYTES) {
      this.endAt = offset;
    } else {
      throw new ProtocolError('a recording holds something else than CopyData', {
        offset,
        tag: String.fromCharCode(this.#bytes[offset] ?? 0),
      });
    }
  }
}

function incomplete(offset: number): ProtocolError {
  return new ProtocolError('the recording is not complete: it was cut off, or is still being written', { offset });
}

function parseHeader(json: Buffer): RecordingHeader {
  let header: Partial<RecordingHeader> | null;
  try {
    header = JSON.parse(json.toString());
  } catch (cause) {
    throw new ProtocolError('the header of a recording is no JSON', { offset: HEADER_AT, cause });
  }
  const { serverVersion, systemId, timeline, database, slot, publications, types } = header ?? {};
  if (
    !Number.isInteger(serverVersion) ||
    !Number.isInteger(timeline) ||
    ![systemId, database, slot].every(isText) ||
    !isListOf(publications, isText) ||
    !(types === undefined || areTypes(types))
  ) {
    throw new ProtocolError('the header of a recording lacks what it must say', { offset: HEADER_AT });
  }
  return header as RecordingHeader;
}

function areTypes(types: unknown): boolean {
  if (typeof types !== 'object' || types === null) return false;
  const { columns, rows } = types as Partial<RecordedTypes>;
  const isRow = (row: unknown) => isListOf(row, (value) => value === null || isText(value));
  return isListOf(columns, isText) && isListOf(rows, isRow);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
