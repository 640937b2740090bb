import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { encodeCopyData } from '../../src/protocol/copy-data.js';
import {
  type ArchiveContent,
  type BackupRequest,
  type BackupStep,
  type BackupSteps,
  FakeBackup,
  FakeWalSender,
  type TarEntry,
} from '../../src/testing/index.js';
import { manifestBytes } from '../../src/testing/manifest-bytes.js';

export const SYSTEM_ID = '7500000000000000001';

export interface TablespaceEntries {
  readonly oid: number | null;
  readonly location: string | null;
  readonly entries: readonly TarEntry[];
}

export const BASE_ENTRIES: readonly TarEntry[] = [
  { name: 'backup_label', content: 'START WAL LOCATION' },
  { name: 'base/', type: '5' },
  { name: 'base/1/', type: '5' },
  { name: 'base/1/1259', content: 'p'.repeat(8192) },
  { name: 'pg_tblspc/', type: '5' },
  { name: './pg_wal/', type: '5' },
  { name: 'postgresql.auto.conf', content: '# auto\n' },
  { name: 'global/', type: '5' },
  { name: 'global/pg_control', content: 'c'.repeat(100) },
  { name: 'pg_wal/000000010000000000000002', content: 'w'.repeat(1024 * 1024) },
];
export const BASE: TablespaceEntries = { oid: null, location: null, entries: BASE_ENTRIES };

/** The manifest of what these archives hold, in SHA256; `change` sees each file before it is listed. */
export function manifestOf(
  tablespaces: readonly TablespaceEntries[],
  change: (path: string, size: number, checksum: string) => readonly [string, number, string][] = (...file) => [file],
): Buffer {
  const files = tablespaces.flatMap(({ oid, entries }) =>
    entries
      .filter(({ name, type = '0' }) => type === '0' && !name.startsWith('pg_wal/'))
      .flatMap(({ name, content = '' }) => {
        const checksum = createHash('sha256').update(content).digest('hex');
        return change(oid === null ? name : `pg_tblspc/${oid}/${name}`, Buffer.from(content).length, checksum);
      }),
  );
  return manifestBytes({
    version: 2,
    systemIdentifier: SYSTEM_ID,
    files: files.map(
      ([path, size, checksum]) =>
        `{ "Encoded-Path": "${Buffer.from(path, 'latin1').toString('hex')}", "Size": ${size}, ` +
        `"Last-Modified": "2026-01-01 00:00:00 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "${checksum}" }`,
    ),
    walRanges: ['{ "Timeline": 1, "Start-LSN": "0/200028", "End-LSN": "0/200120" }'],
  });
}

/** Messages of a whole backup, in parts that a test may leave out or change. */
export interface BackupMessages {
  readonly start: Buffer;
  readonly tablespaces: Buffer;
  readonly copies: readonly Buffer[];
  readonly end: Buffer;
  readonly complete: Buffer;
}

export interface BackupMessagesOptions {
  /** The last is the data directory. */
  readonly tablespaces?: readonly TablespaceEntries[];
  readonly manifest?: Buffer;
  /** 15 and later one COPY of typed messages, before that several. */
  readonly major?: number;
  /** Bytes of each message; the server's are 32 KiB. */
  readonly pieceBytes?: number;
  /** What the server makes of each archive, and adds to its name. */
  readonly compressed?: { readonly suffix: string; readonly compress: (archive: Buffer) => Buffer };
  /** `m` comes, but none of the bytes: the backup goes to another target. */
  readonly elsewhere?: boolean;
}

/** What a fake sender of this major answers to BASE_BACKUP. */
export function fakeBackup(options: BackupMessagesOptions = {}): BackupMessages {
  const { tablespaces = [BASE], major = 18, pieceBytes = 10_000, manifest = manifestOf(tablespaces) } = options;
  const isChanged = options.compressed !== undefined || options.elsewhere === true;
  const backup = new FakeBackup({
    base: contentOf(tablespaces.at(-1)),
    tablespaces: tablespaces.slice(0, -1).map((one) => ({
      ...contentOf(one),
      oid: one.oid ?? 0,
      location: one.location ?? '',
    })),
    manifest,
    // What is changed has to be whole.
    pieceBytes: isChanged ? Number.MAX_SAFE_INTEGER : pieceBytes,
    startLsn: 0x200028n,
    endLsn: 0x200120n,
  });
  const request: BackupRequest = {
    options: { MANIFEST: 'yes', ...(isChanged && { PROGRESS: 'true' }) },
    serverVersion: major * 10_000,
    systemId: SYSTEM_ID,
    timeline: 1,
    walSegmentBytes: 1024 * 1024,
  };
  const { copies, ...parts } = backup.parts(request);
  return { ...parts, copies: (isChanged ? changed(copies, options, pieceBytes) : copies).map(bytesOf) };
}

/** As a server sends that compresses, or that writes the backup itself. */
function changed(
  copies: readonly BackupStep[],
  { compressed, elsewhere = false }: BackupMessagesOptions,
  pieceBytes: number,
): BackupStep[] {
  const { suffix, compress } = compressed ?? { suffix: '', compress: (archive: Buffer) => archive };
  let inManifest = false;
  return copies.flatMap((step): BackupStep[] => {
    if (step.kind !== 'copyData') return [step];
    const payload = Buffer.from(step.payload);
    const tag = String.fromCharCode(payload[0]);
    if (tag === 'm') inManifest = true;
    if (tag === 'n') {
      const [name, ...rest] = payload.toString('latin1').split('\0');
      return [{ kind: 'copyData', payload: Buffer.from([`${name}${suffix}`, ...rest].join('\0'), 'latin1') }];
    }
    if (tag !== 'd') return [step];
    if (elsewhere) return [];
    const bytes = inManifest ? payload.subarray(1) : compress(payload.subarray(1));
    return Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, at) => ({
      kind: 'copyData',
      payload: Buffer.concat([Buffer.from('d'), bytes.subarray(at * pieceBytes, (at + 1) * pieceBytes)]),
    }));
  });
}

function contentOf(tablespace: TablespaceEntries | undefined): ArchiveContent {
  return { entries: tablespace?.entries ?? [] };
}

function bytesOf(step: BackupStep): Buffer {
  if (step.kind === 'copyData') return encodeCopyData(step.payload);
  if (step.kind === 'bytes') return Buffer.from(step.bytes);
  throw new TypeError(`${step.kind} has no bytes`);
}

export function wholeBackup(options: BackupMessagesOptions = {}): Buffer {
  const { start, tablespaces, copies, end, complete } = fakeBackup(options);
  return Buffer.concat([start, tablespaces, ...copies, end, complete]);
}

export function steps(...parts: readonly Uint8Array[]): BackupStep[] {
  return parts.map((bytes) => ({ kind: 'bytes', bytes }));
}

/** A server that answers BASE_BACKUP with these bytes, or as the script says. */
export async function backupServer(
  t: TestContext,
  answer: Buffer | (() => BackupSteps),
  serverVersion = '18.4',
): Promise<FakeWalSender> {
  const sender = await FakeWalSender.listen({
    backup: Buffer.isBuffer(answer) ? () => steps(answer) : answer,
    serverVersion,
    systemId: SYSTEM_ID,
    settings: { wal_segment_size: '1MB' },
  });
  t.after(() => sender.close());
  return sender;
}
