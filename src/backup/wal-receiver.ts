import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import { slotMissingError } from '../catalog/slot-errors.js';
import { ConfigurationError, ServerError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { readReplicationSlot } from '../protocol/commands.js';
import { writeDurably } from './durable-write.js';
import { SEGMENT_MODE, SegmentWriter } from './segment-writer.js';
import { isMissing, pathFailure } from './system-reason.js';
import { WalFollower, type WalOpening } from './wal-follower.js';
import { LONG_PAGE_HEADER_BYTES, parseWalPage } from './wal-page.js';
import {
  type ResolvedReceiverOptions,
  resolveReceiverOptions,
  type WalReceiverOptions,
} from './wal-receiver-options.js';
import { judgeWalStart, parseWalFileName, type WalFileFound, type WalFileName, type WalStart } from './wal-resume.js';
import { historyFileName, parseSegmentName, segmentStart } from './wal-segment.js';
import type { WalSession } from './wal-session.js';

const DUPLICATE_OBJECT = '42710';
const READS_SLOTS_SINCE = 150_000;
/** Of a compressed segment: more than enough for its first page's header. */
const GZIP_HEAD_BYTES = 4096;

/** How far the WAL was received. */
export interface WalReceiverResult {
  /** The one that `endLsn` is on: receiving follows the server from one to the next. */
  readonly timeline: number;
  /** Everything before it, from where it started, is in the folder. */
  readonly endLsn: bigint;
}

/**
 * Receives WAL into segment files, as pg_receivewal does: each byte as on the server, `.partial` until a segment is
 * complete, on from what the folder holds, and from one timeline to the next. A lost connection ends it with an
 * error that is `retryable`; run another then.
 *
 * @see https://www.postgresql.org/docs/current/app-pgreceivewal.html
 */
export class WalReceiver {
  readonly #options: ResolvedReceiverOptions;
  readonly #follower: WalFollower;
  #files: readonly WalFileFound[] = [];
  #running: Promise<WalReceiverResult> | undefined;

  /** Checks the options: {@link ConfigurationError} names the one at fault. Nothing is connected before {@link run}. */
  constructor(options: WalReceiverOptions) {
    this.#options = resolveReceiverOptions(options);
    this.#follower = new WalFollower({ ...this.#options, open: (session, next) => this.#open(session, next) });
  }

  /**
   * Runs until `endLsn` is received or {@link stop} is called. Errors: BackupError (files), ConfigurationError (no such
   * folder, or WAL of another system in it), SlotError, ConnectionError, TimeoutError, AuthenticationError, ServerError,
   * ProtocolError; the signal's reason after an abort.
   */
  run(): Promise<WalReceiverResult> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Ends it in order: what was received is written, made safe and confirmed, and {@link run} resolves. */
  async stop(): Promise<void> {
    this.#follower.stop();
    await this.#running?.catch(() => {});
  }

  async #run(): Promise<WalReceiverResult> {
    this.#files = await this.#listFiles();
    return this.#follower.run();
  }

  async #open(session: WalSession, next: WalStart | undefined): Promise<WalOpening> {
    const { directory, slot } = this.#options;
    const { segmentBytes } = session;
    if (next === undefined) await this.#checkSystem(session);
    await this.#ensureSlot(session);
    const start = next ?? judgeWalStart(this.#files, segmentBytes) ?? (await this.#firstStart(session));
    await this.#writeHistory(session, start.timeline);
    const writer = new SegmentWriter({ ...start, directory, segmentBytes, naming: 'partial', mode: SEGMENT_MODE });
    return { start, writer, slot: slot?.name };
  }

  /** Where nothing was received yet. */
  async #firstStart(session: WalSession): Promise<WalStart> {
    const { startLsn } = this.#options;
    const { system, segmentBytes } = session;
    const kept = startLsn === undefined ? await this.#readSlot(session) : undefined;
    const lsn = startLsn ?? kept?.startLsn ?? system.xLogPos;
    return { timeline: kept?.timeline ?? system.timeline, startLsn: segmentStart(lsn, segmentBytes) };
  }

  /** Segments of one system behind those of another would look like one archive, and be none. */
  async #checkSystem({ system, segmentBytes }: WalSession): Promise<void> {
    const { directory } = this.#options;
    const segments = this.#files.filter(({ name }) => parseSegmentName(name, segmentBytes) !== undefined);
    for (const segment of segments.sort((a, b) => (a.file < b.file ? 1 : -1))) {
      const { file } = segment;
      const found = await systemOf(join(directory, file), segment.compression);
      // One that was left when its zeros were written says nothing.
      if (found === undefined) continue;
      if (String(found) === system.systemId) return;
      throw new ConfigurationError(
        `directory: ${file} in ${directory} is WAL of another system: ${found}, and the server is ${system.systemId}`,
        { option: 'directory' },
      );
    }
  }

  async #readSlot(session: WalSession): Promise<WalStart | undefined> {
    const { slot } = this.#options;
    const { serverVersion } = session.connection;
    if (slot === undefined || serverVersion < READS_SLOTS_SINCE) return undefined;
    const [type, restartLsn, timeline] = (await session.query(readReplicationSlot(slot.name, serverVersion)))[0] ?? [];
    if (!type) throw slotMissingError(slot.name);
    if (!restartLsn || !timeline) return undefined;
    return { timeline: Number(timeline), startLsn: Lsn.parse(restartLsn) };
  }

  async #ensureSlot(session: WalSession): Promise<void> {
    const { slot } = this.#options;
    if (slot === undefined || slot.create === 'never') return;
    try {
      await session.createSlot(slot.name, slot.temporary);
    } catch (error) {
      const { cause } = error as Error;
      const exists = cause instanceof ServerError && cause.sqlState === DUPLICATE_OBJECT;
      if (!exists || slot.temporary) throw error;
    }
  }

  /** Who restores from the folder needs to know where the timelines before were left. */
  async #writeHistory(session: WalSession, timeline: number): Promise<void> {
    const { directory } = this.#options;
    if (timeline === 1 || (await isThere(join(directory, historyFileName(timeline))))) return;
    const { name, content } = await session.readHistory(timeline);
    await writeDurably(directory, name, content, SEGMENT_MODE);
  }

  async #listFiles(): Promise<WalFileFound[]> {
    const { directory } = this.#options;
    let names: string[];
    try {
      names = await readdir(directory);
    } catch (cause) {
      if (!isMissing(cause)) throw pathFailure('read', directory, cause);
      throw new ConfigurationError(`directory ${directory} does not exist`, { option: 'directory', cause });
    }
    const files: WalFileFound[] = [];
    for (const file of names) {
      const named = parseWalFileName(file);
      const byteCount = named && (await walBytesIn(directory, file, named));
      if (named !== undefined && byteCount !== 'gone') files.push({ ...named, file, byteCount });
    }
    return files;
  }
}

/** `gone`: somebody removed it, or it is a link to nothing. `undefined` where only decompressing would tell. */
async function walBytesIn(
  directory: string,
  name: string,
  { compression, partial }: WalFileName,
): Promise<number | 'gone' | undefined> {
  const path = join(directory, name);
  try {
    const status = await stat(path);
    if (status.isDirectory()) {
      throw new ConfigurationError(
        `directory: ${name} in ${directory} is a folder, but has the name of a WAL segment`,
        {
          option: 'directory',
        },
      );
    }
    if (compression === undefined) return status.size;
    return partial || compression === 'lz4' ? undefined : await gzippedBytes(path, status.size);
  } catch (cause) {
    if (isMissing(cause)) return 'gone';
    throw cause instanceof ConfigurationError ? cause : pathFailure('read', path, cause);
  }
}

/** A gzip file ends with the count of what is in it, which no segment is too large for. */
async function gzippedBytes(path: string, size: number): Promise<number> {
  const bytes = Buffer.alloc(4);
  await using file = await open(path, 'r');
  const { bytesRead } = await file.read(bytes, 0, bytes.length, Math.max(0, size - bytes.length));
  return bytesRead < bytes.length ? 0 : bytes.readUInt32LE(0);
}

/** The system whose WAL is in a segment; `undefined` when its first page does not say, or cannot be read here. */
async function systemOf(path: string, compression: WalFileName['compression']): Promise<bigint | undefined> {
  if (compression === 'lz4') return undefined;
  const bytes = Buffer.alloc(compression === 'gzip' ? GZIP_HEAD_BYTES : LONG_PAGE_HEADER_BYTES);
  let head: Buffer;
  try {
    await using file = await open(path, 'r');
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    head = bytes.subarray(0, bytesRead);
  } catch (cause) {
    throw pathFailure('read', path, cause);
  }
  if (compression === 'gzip') head = gunzipHead(head);
  if (head.length < LONG_PAGE_HEADER_BYTES) return undefined;
  const header = parseWalPage(head, 0);
  return typeof header === 'string' ? undefined : header.segment?.systemIdentifier;
}

/** What the first bytes of a gzip file give; nothing when they are damaged. */
function gunzipHead(bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    return Buffer.alloc(0);
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
