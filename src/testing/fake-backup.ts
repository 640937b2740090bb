import { createHash } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { wrong } from '../errors/option-checks.js';
import { Lsn } from '../lsn.js';
import { COPY_DONE, COPY_OUT, commandComplete, resultMessages } from './backend-bytes.js';
import type { BackupRequest, BackupSource, BackupStep } from './backup-step.js';
import { manifestBytes } from './manifest-bytes.js';
import { TAR_END, type TarEntry, tarMember } from './tar-archive.js';

const DEFAULT_START_LSN = Lsn.parse('0/2000028');
const DEFAULT_WAL_BYTES = 0xf8n;
/** What servers send at once. */
const DEFAULT_PIECE_BYTES = 32 * 1024;
/** Typed messages and lists of options; before, keywords and a COPY for each archive. */
const TYPED_SINCE = 150_000;
/** Manifests name the cluster. */
const MANIFEST_2_SINCE = 170_000;
const HASHES: Readonly<Record<string, string>> = {
  SHA224: 'sha224',
  SHA256: 'sha256',
  SHA384: 'sha384',
  SHA512: 'sha512',
};

/** Contents by path, relative to their folder, such as `base/1/1259`. */
export type BackupFiles = Readonly<Record<string, Uint8Array | string>>;

/** What an archive holds, said in one of three ways. */
export type ArchiveContent =
  /** Files, in this order; their folders are added, and what a server adds. */
  | { readonly files: BackupFiles }
  /** Members of the archive as they are, hostile ones too. */
  | { readonly entries: readonly TarEntry[] }
  /** A tar archive that was recorded, such as one of `pg_basebackup -F tar`. The manifest must be given too. */
  | { readonly archive: Uint8Array };

/** An archive for a tablespace: its OID, and its path on the server. */
export type FakeTablespace = ArchiveContent & { readonly oid: number; readonly location: string };

/** What a fake backup holds. */
export interface FakeBackupOptions {
  /** The data directory. */
  readonly base: ArchiveContent;
  /** Sent before it. */
  readonly tablespaces?: readonly FakeTablespace[];
  /** Instead of the one that is right. */
  readonly manifest?: Uint8Array;
  /** Default 0/2000028. */
  readonly startLsn?: bigint;
  /** Default shortly after. */
  readonly endLsn?: bigint;
  /** Bytes in a message; default 32 KiB, as servers send. */
  readonly pieceBytes?: number;
}

/** The parts of what is sent, each one or several whole messages, for tests that leave some out or change them. */
export interface BackupParts {
  /** Start position, and the list of tablespaces. */
  readonly start: Buffer;
  /** The result set that lists them. */
  readonly tablespaces: Buffer;
  /** The archives, and the manifest. */
  readonly copies: readonly BackupStep[];
  /** End position. */
  readonly end: Buffer;
  /** CommandComplete. */
  readonly complete: Buffer;
}

/**
 * A base backup for `FakeWalSender`: archives of files that a test names, or recorded ones, and the manifest to them, in
 * the form of the sender's version: one COPY for each archive (14) or one with typed messages (15 and later). Checksums
 * are in the algorithm that the client asks for. WAL between its positions, when it is asked for, is zeros.
 *
 * Compression, other targets and incremental backups are refused with 0A000, as a server without them does.
 *
 * @example
 * const backup = new FakeBackup({ base: { files: { PG_VERSION: '18\n', 'base/1/1259': 'rows' } } });
 * await using sender = await FakeWalSender.listen({ backup, settings: { wal_segment_size: '1MB' } });
 * const { fileCount } = await new BaseBackup({ connection: sender.connectionString(), directory, walMethod: 'fetch' }).run();
 */
export class FakeBackup implements BackupSource {
  readonly #options: FakeBackupOptions;

  /** @throws ConfigurationError */
  constructor(options: FakeBackupOptions) {
    const { base, tablespaces = [], pieceBytes = 1, startLsn = 1n, endLsn = startLsn } = options;
    for (const [option, content] of [['base', base], ...tablespaces.map((one) => ['tablespaces', one])] as const) {
      const ways = ['files', 'entries', 'archive'].filter((way) => way in ((content as object | undefined) ?? {}));
      if (ways.length !== 1) throw wrong(option as string, 'must have one of files, entries, archive');
    }
    if (options.manifest === undefined && [base, ...tablespaces].some((one) => 'archive' in one)) {
      throw wrong('manifest', 'must be given with a recorded archive');
    }
    if (!Number.isInteger(pieceBytes) || pieceBytes < 1) throw wrong('pieceBytes', 'must be a whole number from 1');
    if (typeof startLsn !== 'bigint' || typeof endLsn !== 'bigint' || endLsn < startLsn) {
      throw wrong('endLsn', 'must be a bigint not before startLsn');
    }
    this.#options = options;
  }

  *steps(request: BackupRequest): Generator<BackupStep, void, undefined> {
    const { options } = request;
    const isPlain = (name: string) => options[name] === undefined || (name === 'TARGET' && options[name] === 'client');
    const unknown = ['COMPRESSION', 'TARGET', 'INCREMENTAL'].find((name) => !isPlain(name));
    if (unknown !== undefined) {
      yield { kind: 'error', sqlState: '0A000', message: `a fake backup knows no ${unknown}` };
      return;
    }
    const { start, tablespaces, copies, end, complete } = this.parts(request);
    yield { kind: 'bytes', bytes: start };
    yield { kind: 'bytes', bytes: tablespaces };
    yield* copies;
    yield { kind: 'bytes', bytes: end };
    yield { kind: 'bytes', bytes: complete };
  }

  /** What {@link steps} sends, for scripts that change it. */
  parts(request: BackupRequest): BackupParts {
    const { options, serverVersion, timeline } = request;
    const archives = this.#archives(request);
    const hasManifest = options.MANIFEST !== undefined && options.MANIFEST !== 'no';
    const manifest = hasManifest ? this.manifest(request) : undefined;
    const position = (lsn: bigint) => ({
      columns: ['recptr', 'tli'],
      rows: [[Lsn.format(lsn), String(timeline)]],
      command: 'SELECT',
    });
    const withSizes = options.PROGRESS === 'true';
    const size = ({ bytes }: Archive) => (withSizes ? String(Math.ceil(bytes.length / 1024)) : null);
    const rows = archives.map((one) => [
      one.oid === undefined ? null : String(one.oid),
      one.location ?? null,
      size(one),
    ]);
    const copies =
      serverVersion >= TYPED_SINCE ? this.#typedCopy(archives, manifest, withSizes) : this.#copies(archives, manifest);
    return {
      start: resultMessages(position(this.#startLsn)),
      tablespaces: resultMessages({ columns: ['spcoid', 'spclocation', 'size'], rows, command: 'SELECT' }),
      copies,
      end: resultMessages(position(this.#endLsn)),
      complete: commandComplete('BASE_BACKUP'),
    };
  }

  /** The one that was given, or that which belongs to the archives. */
  manifest(request: BackupRequest): Buffer {
    if (this.#options.manifest !== undefined) return Buffer.from(this.#options.manifest);
    const { options, serverVersion, systemId, timeline } = request;
    const algorithm = (options.MANIFEST_CHECKSUMS ?? 'CRC32C').toUpperCase();
    const files = this.#archives(request).flatMap(({ oid, entries = [] }) => {
      const folder = oid === undefined ? '' : `pg_tblspc/${oid}/`;
      return entries.filter(isListed).map(({ name, content }) => manifestFile(`${folder}${name}`, content, algorithm));
    });
    const range = { Timeline: timeline, 'Start-LSN': Lsn.format(this.#startLsn), 'End-LSN': Lsn.format(this.#endLsn) };
    return manifestBytes({
      ...(serverVersion >= MANIFEST_2_SINCE ? { version: 2, systemIdentifier: systemId } : { version: 1 }),
      files: files.map((file) => JSON.stringify(file)),
      walRanges: [JSON.stringify(range)],
    });
  }

  get #startLsn(): bigint {
    return this.#options.startLsn ?? DEFAULT_START_LSN;
  }

  get #endLsn(): bigint {
    return this.#options.endLsn ?? this.#startLsn + DEFAULT_WAL_BYTES;
  }

  #archives(request: BackupRequest): Archive[] {
    const { base, tablespaces = [] } = this.#options;
    const own = tablespaces.map((one) => ({
      ...archiveOf(one, (files) => entriesOf(files)),
      oid: one.oid,
      location: one.location,
    }));
    return [
      ...own,
      { ...archiveOf(base, (files) => this.#baseEntries(files, request)), oid: undefined, location: undefined },
    ];
  }

  /** In the order of a server: label and map first, pg_control behind everything else, then WAL. */
  #baseEntries(files: BackupFiles, { options, timeline, walSegmentBytes }: BackupRequest): TarEntry[] {
    const { tablespaces = [] } = this.#options;
    const asMap = options.TABLESPACE_MAP === 'true';
    const label = `START WAL LOCATION: ${Lsn.format(this.#startLsn)}\nSTART TIMELINE: ${timeline}\n`;
    const map = tablespaces.map(({ oid, location }) => `${oid} ${location}\n`).join('');
    const { 'global/pg_control': control, ...others } = files;
    const all: Record<string, Uint8Array | string> = {
      ...(files.backup_label === undefined && { backup_label: label }),
      ...(asMap && tablespaces.length > 0 && { tablespace_map: map }),
      ...others,
      ...(control !== undefined && { 'global/pg_control': control }),
    };
    const links = asMap
      ? []
      : tablespaces.map(({ oid, location }) => ({ name: `pg_tblspc/${oid}`, type: '2', linkName: location }));
    const folders = ['pg_tblspc/', 'pg_wal/'].map((name) => ({ name, type: '5' }));
    const wal: TarEntry[] = [];
    if (options.WAL === 'true') {
      const first = this.#startLsn / BigInt(walSegmentBytes);
      for (let segment = first; segment <= (this.#endLsn - 1n) / BigInt(walSegmentBytes); segment++) {
        wal.push({
          name: `pg_wal/${segmentName(timeline, segment, walSegmentBytes)}`,
          content: Buffer.alloc(walSegmentBytes),
        });
      }
    }
    return [...folders, ...links, ...entriesOf(all), ...wal];
  }

  #typedCopy(archives: readonly Archive[], manifest: Buffer | undefined, withProgress: boolean): BackupStep[] {
    const data = (bytes: Buffer) => this.#pieces(bytes, (piece) => Buffer.concat([Buffer.from('d'), piece]));
    let done = 0n;
    const steps: BackupStep[] = [{ kind: 'bytes', bytes: COPY_OUT }];
    for (const { oid, location = '', bytes } of archives) {
      const name = oid === undefined ? 'base.tar' : `${oid}.tar`;
      steps.push({ kind: 'copyData', payload: Buffer.from(`n${name}\0${location}\0`) }, ...data(bytes));
      if (!withProgress) continue;
      done += BigInt(bytes.length);
      const progress = Buffer.alloc(9);
      progress.write('p');
      progress.writeBigInt64BE(done, 1);
      steps.push({ kind: 'copyData', payload: progress });
    }
    if (manifest !== undefined) steps.push({ kind: 'copyData', payload: Buffer.from('m') }, ...data(manifest));
    steps.push({ kind: 'bytes', bytes: COPY_DONE });
    return steps;
  }

  /** Those of 14 lack the two blocks of zeros at the end. */
  #copies(archives: readonly Archive[], manifest: Buffer | undefined): BackupStep[] {
    const contents = archives.map(({ bytes }) =>
      bytes.subarray(-TAR_END.length).equals(TAR_END) ? bytes.subarray(0, -TAR_END.length) : bytes,
    );
    if (manifest !== undefined) contents.push(manifest);
    return contents.flatMap((bytes) => [
      { kind: 'bytes', bytes: COPY_OUT } as const,
      ...this.#pieces(bytes, (piece) => piece),
      { kind: 'bytes', bytes: COPY_DONE } as const,
    ]);
  }

  #pieces(bytes: Buffer, payload: (piece: Buffer) => Buffer): BackupStep[] {
    const { pieceBytes = DEFAULT_PIECE_BYTES } = this.#options;
    const steps: BackupStep[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      steps.push({ kind: 'copyData', payload: payload(bytes.subarray(at, at + pieceBytes)) });
    }
    return steps;
  }
}

interface Archive {
  readonly oid: number | undefined;
  readonly location: string | undefined;
  readonly bytes: Buffer;
  /** `undefined` of a recorded one. */
  readonly entries: readonly TarEntry[] | undefined;
}

function archiveOf(
  content: ArchiveContent,
  entriesFrom: (files: BackupFiles) => readonly TarEntry[],
): Pick<Archive, 'bytes' | 'entries'> {
  if ('archive' in content) return { bytes: Buffer.from(content.archive), entries: undefined };
  const entries = 'entries' in content ? content.entries : entriesFrom(content.files);
  return { bytes: Buffer.concat([...entries.map(tarMember), TAR_END]), entries };
}

/** Each folder once, before what is in it. */
function entriesOf(files: BackupFiles): TarEntry[] {
  const folders = new Set<string>(['pg_tblspc/', 'pg_wal/']);
  return Object.entries(files).flatMap(([name, content]) => {
    const parents = [...name.matchAll(/\//g)].map(({ index }) => name.slice(0, index + 1));
    const missing = parents.filter((folder) => !folders.has(folder));
    for (const folder of missing) folders.add(folder);
    return [...missing.map((folder) => ({ name: folder, type: '5' })), { name, content }];
  });
}

function isListed({ name, type = '0' }: TarEntry): boolean {
  return type === '0' && !name.startsWith('pg_wal/');
}

function manifestFile(name: string, content: Uint8Array | string = '', algorithm: string): Record<string, unknown> {
  const bytes = Buffer.from(content);
  const checksum = checksumOf(bytes, algorithm);
  // Names are bytes.
  const path = /^[ -~]*$/.test(name) ? { Path: name } : { 'Encoded-Path': Buffer.from(name, 'latin1').toString('hex') };
  return {
    ...path,
    Size: bytes.length,
    'Last-Modified': '2026-01-01 00:00:00 GMT',
    ...(checksum !== undefined && { 'Checksum-Algorithm': algorithm, Checksum: checksum }),
  };
}

function checksumOf(bytes: Buffer, algorithm: string): string | undefined {
  if (algorithm === 'CRC32C') {
    const native = Buffer.alloc(4);
    native.writeUInt32LE(crc32c(bytes));
    return native.toString('hex');
  }
  const hash = HASHES[algorithm];
  return hash === undefined ? undefined : createHash(hash).update(bytes).digest('hex');
}

/** Timeline, then the number in two halves: how many segments are in 4 GiB of WAL, and which of them. */
function segmentName(timeline: number, segment: bigint, segmentBytes: number): string {
  const perId = 0x1_0000_0000n / BigInt(segmentBytes);
  const parts = [BigInt(timeline), segment / perId, segment % perId];
  return parts.map((part) => part.toString(16).toUpperCase().padStart(8, '0')).join('');
}
