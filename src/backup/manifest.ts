import { createHash } from 'node:crypto';
import { BackupError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { JsonScanner } from './json-scanner.js';
import { CHECKSUM_BYTES, MANIFEST_CHECKSUM_ALGORITHMS, type ManifestChecksumAlgorithm } from './manifest-checksum.js';
import { MANIFEST_NAME } from './manifest-name.js';

/** Longest manifest that is read: some two million files. */
export const MAX_MANIFEST_BYTES = 512 * 1024 * 1024;

const NEWLINE = 0x0a;
/** Of the line with the checksum, which has some 90. */
const MAX_LAST_LINE_BYTES = 1024;

export interface ManifestFile {
  /**
   * Relative to the data directory, tablespaces below `pg_tblspc/<oid>`. A file name is bytes and need not be UTF-8, so
   * each character is one byte (latin1); {@link showPath} makes it readable.
   */
  readonly path: string;
  readonly size: number;
  readonly algorithm: ManifestChecksumAlgorithm;
  /** Lower-case hex; empty for `NONE`. */
  readonly checksum: string;
}

/** WAL that the backup needs to become consistent. */
export interface ManifestWalRange {
  readonly timeline: number;
  readonly startLsn: bigint;
  readonly endLsn: bigint;
}

/** What a manifest says of the backup as a whole. */
export interface ManifestOrigin {
  readonly version: 1 | 2;
  /** From version 2 (PostgreSQL 17) on. */
  readonly systemIdentifier: bigint | undefined;
  readonly walRanges: readonly ManifestWalRange[];
}

export interface Manifest extends ManifestOrigin {
  /** By path, in the manifest's order. */
  readonly files: ReadonlyMap<string, ManifestFile>;
}

/** A path of the manifest for people: UTF-8 where it is, with what else there is escaped. */
export function showPath(path: string): string {
  const text = Buffer.from(path, 'latin1').toString();
  const shown = Buffer.from(text).toString('latin1') === path ? text : path;
  return shown.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Reads a whole manifest, as {@link scanManifest} does. */
export function parseManifest(pieces: Iterable<Buffer>): Manifest {
  const files = new Map<string, ManifestFile>();
  const origin = scanManifest(pieces, (file) => {
    if (files.has(file.path)) return false;
    files.set(file.path, file);
    return true;
  });
  return { ...origin, files };
}

/**
 * Reads a manifest file by file, and believes it only with the right checksum of its own, which comes last. Each piece of its
 * text is done with before the next is asked for. `onFile` says whether the path is a new one; one that comes twice is malformed.
 *
 * ```
 * { "PostgreSQL-Backup-Manifest-Version": 1 | 2,
 *   "System-Identifier": digits,                                            version 2 only
 *   "Files": [ { "Path": string | "Encoded-Path": hex, "Size": digits, "Last-Modified": string,
 *                "Checksum-Algorithm": string, "Checksum": hex }, ... ],    the last two or none
 *   "WAL-Ranges": [ { "Timeline": digits, "Start-LSN": 'X/Y', "End-LSN": 'X/Y' }, ... ],
 *   "Manifest-Checksum": hex }                                              on the last line, alone
 * ```
 *
 * @throws BackupError
 * @see https://www.postgresql.org/docs/current/backup-manifest-format.html
 */
export function scanManifest(pieces: Iterable<Buffer>, onFile: (file: ManifestFile) => boolean): ManifestOrigin {
  const text = new ManifestText();
  const passed = text.pass(pieces);
  try {
    return scan(new JsonScanner(passed, MANIFEST_NAME), text, onFile);
  } finally {
    // Whoever gives the pieces may hold a file open.
    passed.return();
  }
}

function scan(scanner: JsonScanner, text: ManifestText, onFile: (file: ManifestFile) => boolean): ManifestOrigin {
  const seen = new Set<string>();
  let version: 1 | 2 | undefined;
  let systemIdentifier: bigint | undefined;
  let hasFiles = false;
  let walRanges: ManifestWalRange[] | undefined;
  let checksum: string | undefined;
  for (const key of scanner.keys()) {
    refuseRepetition(seen, key, scanner);
    if (version === undefined && key !== 'PostgreSQL-Backup-Manifest-Version') {
      throw scanner.failure('the version comes first');
    }
    switch (key) {
      case 'PostgreSQL-Backup-Manifest-Version':
        version = versionFrom(scanner);
        break;
      case 'System-Identifier':
        systemIdentifier = unsigned64(scanner);
        break;
      case 'Files':
        for (const _ of scanner.elements()) {
          if (!onFile(fileFrom(scanner))) throw scanner.failure('a path comes twice');
        }
        hasFiles = true;
        break;
      case 'WAL-Ranges':
        walRanges = Array.from(scanner.elements(), () => walRangeFrom(scanner));
        break;
      case 'Manifest-Checksum':
        checksum = scanner.string();
        break;
      default:
        throw scanner.failure('a field is unknown');
    }
  }
  scanner.expectEnd();
  if (version === undefined || !hasFiles || walRanges === undefined || checksum === undefined) {
    throw malformed('a field is missing');
  }
  if ((systemIdentifier === undefined) !== (version === 1)) {
    throw malformed(`version ${version} ${version === 1 ? 'has no' : 'needs a'} system identifier`);
  }
  text.check(checksum);
  return { version, systemIdentifier, walRanges };
}

/** Passes a manifest on, and computes its own checksum: SHA-256 over everything before the last line, which has it. */
class ManifestText {
  readonly #hash = createHash('sha256');
  /** The last line so far. */
  #line: Buffer = Buffer.alloc(0);
  #lineIsLong = false;
  #byteCount = 0;

  *pass(pieces: Iterable<Buffer>): Generator<Buffer, void, undefined> {
    for (const piece of pieces) {
      this.#byteCount += piece.length;
      if (this.#byteCount > MAX_MANIFEST_BYTES) throw malformed(`more than ${MAX_MANIFEST_BYTES} bytes`);
      this.#update(piece);
      yield piece;
    }
  }

  /** When everything has passed. */
  check(expected: string): void {
    const line = this.#line.toString('latin1');
    if (!line.endsWith('\n')) throw malformed('the last line has no end');
    if (this.#lineIsLong || !/^"Manifest-Checksum": ?"[0-9a-fA-F]{64}"\s*\}\n$/.test(line)) {
      throw malformed('the last line is not its checksum');
    }
    if (this.#hash.digest('hex') !== expected.toLowerCase()) {
      throw malformed('its checksum does not match what it holds');
    }
  }

  #update(piece: Buffer): void {
    const bytes = this.#line.length === 0 ? piece : Buffer.concat([this.#line, piece]);
    // A newline at the very end belongs to the last line.
    const lineStart = bytes.subarray(0, -1).lastIndexOf(NEWLINE) + 1;
    if (lineStart > 0) this.#lineIsLong = false;
    // What cannot be the line that is looked for is not kept.
    const kept = bytes.length - lineStart > MAX_LAST_LINE_BYTES ? bytes.length - 1 : lineStart;
    if (kept > lineStart) this.#lineIsLong = true;
    this.#hash.update(bytes.subarray(0, kept));
    this.#line = Buffer.from(bytes.subarray(kept));
  }
}

function versionFrom(scanner: JsonScanner): 1 | 2 {
  const digits = scanner.digits();
  if (digits === '1') return 1;
  if (digits === '2') return 2;
  throw scanner.failure('the version is neither 1 nor 2');
}

function fileFrom(scanner: JsonScanner): ManifestFile {
  const seen = new Set<string>();
  let path: string | undefined;
  let size: number | undefined;
  let algorithm: ManifestChecksumAlgorithm | undefined;
  let checksum: string | undefined;
  for (const key of scanner.keys()) {
    refuseRepetition(seen, key, scanner);
    switch (key) {
      case 'Path':
      case 'Encoded-Path':
        if (path !== undefined) throw scanner.failure('a file has two paths');
        path = key === 'Path' ? Buffer.from(scanner.string()).toString('latin1') : hex(scanner).toString('latin1');
        break;
      case 'Size':
        size = Number(scanner.digits());
        if (!Number.isSafeInteger(size)) throw scanner.failure('a size is too large');
        break;
      case 'Last-Modified':
        scanner.string();
        break;
      case 'Checksum-Algorithm':
        algorithm = algorithmFrom(scanner);
        break;
      case 'Checksum':
        checksum = hex(scanner).toString('hex');
        break;
      default:
        throw scanner.failure('a field of a file is unknown');
    }
  }
  if (path === undefined || path === '' || size === undefined) throw scanner.failure('a file needs a path and a size');
  if ((algorithm === undefined) !== (checksum === undefined)) {
    throw scanner.failure('a file needs both checksum and algorithm, or none');
  }
  if (algorithm === undefined || checksum === undefined) return { path, size, algorithm: 'NONE', checksum: '' };
  if (checksum.length !== 2 * CHECKSUM_BYTES[algorithm]) {
    throw scanner.failure(`a checksum is not as long as ${algorithm} gives`);
  }
  return { path, size, algorithm, checksum };
}

function walRangeFrom(scanner: JsonScanner): ManifestWalRange {
  const seen = new Set<string>();
  let timeline: number | undefined;
  let startLsn: bigint | undefined;
  let endLsn: bigint | undefined;
  for (const key of scanner.keys()) {
    refuseRepetition(seen, key, scanner);
    switch (key) {
      case 'Timeline':
        timeline = Number(scanner.digits());
        if (timeline < 1 || timeline > 0xffff_ffff) throw scanner.failure('a timeline is out of range');
        break;
      case 'Start-LSN':
        startLsn = lsn(scanner);
        break;
      case 'End-LSN':
        endLsn = lsn(scanner);
        break;
      default:
        throw scanner.failure('a field of a WAL range is unknown');
    }
  }
  if (timeline === undefined || startLsn === undefined || endLsn === undefined) {
    throw scanner.failure('a WAL range needs a timeline, its start and its end');
  }
  if (endLsn < startLsn) throw scanner.failure('a WAL range ends before it starts');
  return { timeline, startLsn, endLsn };
}

function refuseRepetition(seen: Set<string>, key: string, scanner: JsonScanner): void {
  if (seen.has(key)) throw scanner.failure('a field comes twice');
  seen.add(key);
}

function algorithmFrom(scanner: JsonScanner): ManifestChecksumAlgorithm {
  const name = scanner.string().toUpperCase();
  const algorithm = MANIFEST_CHECKSUM_ALGORITHMS.find((one) => one === name);
  if (algorithm === undefined) throw scanner.failure('a checksum algorithm is unknown');
  return algorithm;
}

function hex(scanner: JsonScanner): Buffer {
  const text = scanner.string();
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw scanner.failure('a string is not hex');
  return Buffer.from(text, 'hex');
}

function lsn(scanner: JsonScanner): bigint {
  const text = scanner.string();
  try {
    return Lsn.parse(text);
  } catch {
    throw scanner.failure('a string is no LSN');
  }
}

function unsigned64(scanner: JsonScanner): bigint {
  const digits = scanner.digits();
  if (digits.length > 20) throw scanner.failure('a number is too large');
  const value = BigInt(digits);
  if (value > 0xffff_ffff_ffff_ffffn) throw scanner.failure('a number is too large');
  return value;
}

function malformed(problem: string): BackupError {
  return new BackupError(`${MANIFEST_NAME}: ${problem}`, { path: MANIFEST_NAME });
}
