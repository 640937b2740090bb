import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import {
  backendMessage,
  COPY_DONE,
  COPY_OUT_RESPONSE,
  READY_FOR_QUERY,
  resultSet,
  sessionStart,
  text,
} from '../connection/backend-bytes.js';
import { type ClientBytes, fakeServer } from '../connection/fake-server.js';
import { copyData } from '../support/pgoutput-bytes.js';
import { manifestBytes } from './manifest-bytes.js';
import { TAR_END, type TarEntry, tarMember } from './tar-bytes.js';

export const SYSTEM_ID = '7500000000000000001';
export const COMPLETE: Buffer = Buffer.concat([backendMessage('C', text('BASE_BACKUP')), READY_FOR_QUERY]);

export interface FakeTablespace {
  readonly oid: string | null;
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
export const BASE: FakeTablespace = { oid: null, location: null, entries: BASE_ENTRIES };

/** The manifest of what these archives hold, in SHA256; `change` sees each file before it is listed. */
export function manifestOf(
  tablespaces: readonly FakeTablespace[],
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
export interface FakeBackup {
  readonly start: Buffer;
  readonly tablespaces: Buffer;
  readonly copies: readonly Buffer[];
  readonly end: Buffer;
}

export interface FakeBackupOptions {
  readonly tablespaces?: readonly FakeTablespace[];
  readonly manifest?: Buffer;
  /** 15 and later one COPY of typed messages, before that several. */
  readonly major?: number;
  /** What the server makes of each archive, and adds to its name. */
  readonly compressed?: { readonly suffix: string; readonly compress: (archive: Buffer) => Buffer };
  /** `m` comes, but none of the bytes: the backup goes to another target. */
  readonly elsewhere?: boolean;
  /** Bytes of each message; the server's are 32 KiB. */
  readonly pieceBytes?: number;
}

export function fakeBackup(options: FakeBackupOptions = {}): FakeBackup {
  const { tablespaces = [BASE], major = 18, pieceBytes = 10_000, elsewhere = false } = options;
  const { suffix, compress } = options.compressed ?? { suffix: '', compress: (archive: Buffer) => archive };
  const manifest = options.manifest ?? manifestOf(tablespaces);
  const typed = major >= 15;
  const pieces = (bytes: Buffer) =>
    Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) => {
      const piece = bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes);
      return copyData(typed ? Buffer.concat([Buffer.from('d'), piece]) : piece);
    });
  const copies: Buffer[] = [];
  let sentBytes = 0;
  if (typed) copies.push(COPY_OUT_RESPONSE);
  for (const { oid, location, entries } of tablespaces) {
    const archive = Buffer.concat([...entries.map(tarMember), ...(typed ? [TAR_END] : [])]);
    const name = [Buffer.from('n'), text(`${oid ?? 'base'}.tar${suffix}`), text(location ?? '')];
    copies.push(typed ? copyData(Buffer.concat(name)) : COPY_OUT_RESPONSE);
    if (!elsewhere) copies.push(...pieces(compress(archive)));
    sentBytes += archive.length;
    copies.push(typed ? progressMessage(sentBytes) : COPY_DONE);
  }
  copies.push(typed ? copyData(Buffer.from('m')) : COPY_OUT_RESPONSE);
  copies.push(...(elsewhere ? [] : pieces(manifest)), COPY_DONE);
  return {
    start: resultSet(['recptr', 'tli'], ['0/200028', '1']),
    tablespaces: resultSet(
      ['spcoid', 'spclocation', 'size'],
      ...tablespaces.map(({ oid, location }) => [oid, location, null]),
    ),
    copies,
    end: resultSet(['recptr', 'tli'], ['0/200120', '1']),
  };
}

/** What the server has read of all archives. */
function progressMessage(byteCount: number): Buffer {
  const bytes = Buffer.alloc(9, 'p');
  bytes.writeBigInt64BE(BigInt(byteCount), 1);
  return copyData(bytes);
}

export function wholeBackup(options: FakeBackupOptions = {}): Buffer {
  const { start, tablespaces, copies, end } = fakeBackup(options);
  return Buffer.concat([start, tablespaces, ...copies, end, COMPLETE]);
}

/** A server that answers what a backup asks before it, and to BASE_BACKUP as the script says. Gives its address. */
export async function backupServer(
  t: TestContext,
  answer: Buffer | ((client: ClientBytes, command: string) => Promise<void> | void),
  version = '18.4',
): Promise<{ host: string; port: number; user: string; sslMode: 'disable' }> {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sessionStart(version));
    for (;;) {
      const { tag, body } = await client.readMessage();
      if (tag !== 'Q') return;
      const command = body.toString('utf8', 0, body.length - 1);
      if (command === 'IDENTIFY_SYSTEM') {
        const row = [SYSTEM_ID, '1', '0/2000000', null];
        client.send(resultSet(['systemid', 'timeline', 'xlogpos', 'dbname'], row), READY_FOR_QUERY);
      } else if (command.startsWith('SHOW')) {
        const value = command === 'SHOW data_directory_mode' ? '0700' : '1MB';
        client.send(resultSet(['setting'], [value]), READY_FOR_QUERY);
      } else if (Buffer.isBuffer(answer)) {
        client.send(answer);
      } else {
        await answer(client, command);
      }
    }
  });
  return { host: '127.0.0.1', port, user: 'u', sslMode: 'disable' };
}
