import { DecodeError, ProtocolError } from '../errors.js';
import { ByteReader } from '../protocol/byte-reader.js';
import { archiveName, type BackupTablespace } from './tablespace.js';

/** Told what the COPY of a backup is made of. Offsets are into the bytes that the reader was given. */
export interface ArchiveHandler {
  /** Another archive begins, of this one of the tablespaces; the last is complete. */
  onArchive(index: number): void;
  onArchiveData(start: number, end: number): void;
  /** All archives are complete. */
  onManifest(): void;
  onManifestData(start: number, end: number): void;
  /** The server's count: bytes of all archives so far, before it compresses them. 15 and later, about once a second. */
  onDone(byteCount: number): void;
}

/** Takes the COPYs of BASE_BACKUP apart, in one of two forms, and lets nothing pass that is out of its place. */
export interface ArchiveReader {
  onCopyStart(): void;
  onCopyData(bytes: Buffer, start: number, end: number): void;
  /** The command has sent everything; {@link ProtocolError} when something is missing. */
  expectEnd(): void;
}

export interface ArchiveRequest {
  /** In the order of the server's rows. */
  readonly tablespaces: readonly BackupTablespace[];
  readonly manifest: boolean;
  /** What the server adds to the names of archives that it compresses; empty when it does not. */
  readonly suffix: string;
}

export function createArchiveReader(
  request: ArchiveRequest,
  serverVersion: number,
  handler: ArchiveHandler,
): ArchiveReader {
  if (serverVersion < 150_000) return new SeparateCopies(request, handler);
  return new TypedMessages(request, handler);
}

/** Archives in the order of the rows, then the manifest if one was asked for. */
class ArchiveOrder {
  readonly #request: ArchiveRequest;
  readonly #handler: ArchiveHandler;
  #begun = 0;
  #manifestBegun = false;

  constructor(request: ArchiveRequest, handler: ArchiveHandler) {
    this.#request = request;
    this.#handler = handler;
  }

  /** What is to come next. */
  get next(): BackupTablespace | 'manifest' | 'end' {
    const tablespace = this.#request.tablespaces[this.#begun];
    if (tablespace !== undefined) return tablespace;
    return this.#request.manifest && !this.#manifestBegun ? 'manifest' : 'end';
  }

  archive(): void {
    this.#handler.onArchive(this.#begun++);
  }

  done(byteCount: number): void {
    this.#handler.onDone(byteCount);
  }

  nameOf(tablespace: BackupTablespace): string {
    return archiveName(tablespace) + this.#request.suffix;
  }

  manifest(): void {
    this.#manifestBegun = true;
    this.#handler.onManifest();
  }

  data(start: number, end: number): void {
    if (this.#manifestBegun) this.#handler.onManifestData(start, end);
    else if (this.#begun > 0) this.#handler.onArchiveData(start, end);
    else throw misplaced('bytes of an archive before its name');
  }

  /** After the manifest come only its bytes. */
  get manifestBegun(): boolean {
    return this.#manifestBegun;
  }

  expectEnd(): void {
    const { next } = this;
    if (next === 'end') return;
    throw misplaced(`an end without ${next === 'manifest' ? 'the manifest' : this.nameOf(next)}`);
  }
}

const NEW_ARCHIVE = 0x6e; // n
const DATA = 0x64; // d
const PROGRESS = 0x70; // p
const MANIFEST = 0x6d; // m

/**
 * 15 and later: one COPY whose messages say what they are.
 *
 * ```
 * 'n' name:String tablespacePath:String   an archive begins
 * 'd' bytes                               of the archive or, after 'm', of the manifest
 * 'p' bytesDone:Int64                     progress
 * 'm'                                     the manifest begins
 * ```
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
class TypedMessages implements ArchiveReader {
  readonly #order: ArchiveOrder;
  #started = false;

  constructor(request: ArchiveRequest, handler: ArchiveHandler) {
    this.#order = new ArchiveOrder(request, handler);
  }

  onCopyStart(): void {
    if (this.#started) throw misplaced('a second COPY');
    this.#started = true;
  }

  onCopyData(bytes: Buffer, start: number, end: number): void {
    if (start === end) throw misplaced('an empty message');
    const type = bytes[start];
    if (type === DATA) {
      this.#order.data(start + 1, end);
      return;
    }
    if (this.#order.manifestBegun) throw misplaced('something behind the manifest');
    const reader = new ByteReader(bytes, start + 1, end);
    try {
      this.#onMessage(type, reader);
      reader.expectEnd();
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause;
      throw new ProtocolError(`a message of the backup is malformed: ${cause.message}`, {
        offset: cause.offset,
        cause,
      });
    }
  }

  expectEnd(): void {
    this.#order.expectEnd();
  }

  #onMessage(type: number, reader: ByteReader): void {
    const { next } = this.#order;
    switch (type) {
      case NEW_ARCHIVE: {
        const [name, location] = [reader.cString(), reader.cString()];
        if (typeof next === 'string' || name !== this.#order.nameOf(next) || location !== next.location) {
          throw misplaced(`the archive ${JSON.stringify(name)}`);
        }
        this.#order.archive();
        break;
      }
      case PROGRESS:
        this.#order.done(Number(reader.int64()));
        break;
      case MANIFEST:
        if (next !== 'manifest') throw misplaced('a manifest');
        this.#order.manifest();
        break;
      default:
        throw misplaced(`a message of the unknown type 0x${type.toString(16).padStart(2, '0')}`);
    }
  }
}

/** 14: one COPY of plain bytes for each archive, and one for the manifest. */
class SeparateCopies implements ArchiveReader {
  readonly #order: ArchiveOrder;

  constructor(request: ArchiveRequest, handler: ArchiveHandler) {
    this.#order = new ArchiveOrder(request, handler);
  }

  onCopyStart(): void {
    const { next } = this.#order;
    if (next === 'end') throw misplaced('one COPY too many');
    if (next === 'manifest') this.#order.manifest();
    else this.#order.archive();
  }

  onCopyData(_bytes: Buffer, start: number, end: number): void {
    this.#order.data(start, end);
  }

  expectEnd(): void {
    this.#order.expectEnd();
  }
}

function misplaced(what: string): ProtocolError {
  return new ProtocolError(`the server sent ${what} in a backup`, { offset: 0, tag: 'd' });
}
