import { isAbsolute, join } from 'node:path';
import { CopyOut } from '../connection/copy-out.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { ServerNotice } from '../connection/server-error.js';
import { BackupError, ConfigurationError, ProtocolError, ServerError } from '../errors.js';
import { baseBackup } from '../protocol/base-backup-command.js';
import { COMPRESSION_SUFFIXES, compressionDetail, type ResolvedCompression } from './backup-compression.js';
import { type ArchiveTarget, type BackupLayout, modesOf } from './backup-layout.js';
import type { ResolvedBackupOptions } from './backup-options.js';
import type { BackupProgress } from './backup-progress.js';
import { type BackupDescription, type BackupResult, describeElsewhere, describeWritten } from './backup-result.js';
import { type BackupPosition, BackupTransfer } from './backup-transfer.js';
import { BackupWal } from './backup-wal.js';
import { walCompression } from './compression-rules.js';
import { makeDirectory } from './durable-file.js';
import { checkIncremental, manifestPieces, readManifestSystem } from './incremental-manifest.js';
import { MANIFEST_NAME, UNPROVED_MANIFEST_NAME } from './manifest-name.js';
import { recoveryLines } from './recovery-configuration.js';
import { archiveName, type BackupTablespace, isInPlace, serverPath } from './tablespace.js';
import { checkVacant, TargetDirectories } from './target-directories.js';
import { WalArchiveStore } from './wal-archive-store.js';
import { WalFolderStore, walFoldersOf } from './wal-folder-store.js';
import { parseSegmentSize } from './wal-segment.js';
import type { WalStore } from './wal-store.js';

/** What is asked of the server before the backup. */
interface SourceServer {
  readonly version: number;
  readonly systemId: string;
  readonly groupAccess: boolean;
  readonly walSegmentBytes: number;
}

/** Hears of a backup while it is taken. */
export interface BackupListener {
  /** Whether the server is to tell how much there is. */
  wantsProgress(): boolean;
  onProgress(progress: BackupProgress): void;
  onNotice(notice: ServerNotice): void;
}

const PROGRESS_INTERVAL_MS = 100;
/** SQLSTATE of pages with wrong checksums, which is sent when everything else has been. */
const DATA_CORRUPTED = 'XX001';

/** One backup, from the connection to its result or the removal of what was written. */
export class BackupRun {
  readonly #options: ResolvedBackupOptions;
  readonly #listener: BackupListener;
  #progressAt = 0;

  constructor(options: ResolvedBackupOptions, listener: BackupListener) {
    this.#options = options;
    this.#listener = listener;
  }

  async take(): Promise<BackupResult> {
    const { directory, target, keepOnError, connection: config, signal, incrementalFrom } = this.#options;
    if (target === undefined) checkVacant(directory, 'directory');
    const earlierSystem = incrementalFrom === undefined ? undefined : await readManifestSystem(incrementalFrom);
    const directories = new TargetDirectories();
    const connection = await PgConnection.connect(config, {
      mode: 'physical',
      signal,
      onNotice: (notice) => this.#listener.onNotice(notice),
    });
    try {
      return await this.#take(connection, directories, earlierSystem);
    } catch (error) {
      if (!keepOnError && !(error instanceof PagesCorrupted)) await removeAfter(error, directories, directory);
      throw error;
    } finally {
      await connection.close();
    }
  }

  async #take(
    connection: PgConnection,
    directories: TargetDirectories,
    earlierSystem: string | undefined,
  ): Promise<BackupResult> {
    const startedAt = performance.now();
    const options = this.#options;
    const { signal, compression } = options;
    const server = await this.#identify(connection);
    const command = this.#command(server.version);
    if (earlierSystem !== undefined) await this.#uploadManifest(connection, server, earlierSystem);
    let tablespaces: readonly BackupTablespace[] = [];
    let layout: BackupLayout | undefined;
    let wal: BackupWal | undefined;
    const transfer = new BackupTransfer({
      serverVersion: server.version,
      manifest: options.manifest !== 'no',
      waitsForArchiver: options.walMethod === 'none',
      suffix: compression?.location === 'server' ? COMPRESSION_SUFFIXES[compression.method] : '',
      prepare: (found) => {
        tablespaces = found;
        if (options.target !== undefined) return undefined;
        const planned = this.#layout(tablespaces, server);
        this.#claim(planned, directories);
        layout = { ...planned, parents: directories.parents };
        return layout;
      },
      beforeArchives: async (start) => {
        if (options.walMethod !== 'stream' || layout === undefined) return;
        wal = this.#streamWal(layout, server, start);
        wal.failure().catch((error: unknown) => copy.fail(error));
        await wal.started();
      },
      onNotice: (notice) => this.#listener.onNotice(notice),
      onProgress: () => this.#onProgress(transfer),
    });
    const copy = new CopyOut(connection, transfer, { idleTimeoutMs: options.idleTimeoutMs, signal });
    transfer.attach(copy);
    let isDone = false;
    try {
      const corruption = await this.#run(copy, command, transfer);
      const { start, end, thread } = transfer;
      const isWhole = transfer.completed || corruption !== undefined;
      if (start === undefined || end === undefined || !isWhole) {
        throw new ProtocolError('the server ended the backup before it was complete', { offset: 0 });
      }
      const positions = {
        startLsn: start.lsn,
        startTimeline: start.timeline,
        endLsn: end.lsn,
        endTimeline: end.timeline,
      };
      if (options.manifest === 'no') checkTimeline(start.timeline, end.timeline);
      let description: BackupDescription;
      if (thread === undefined || layout === undefined) {
        if (corruption !== undefined) throw corruption;
        this.#emitProgress(transfer);
        description = describeElsewhere(options.target?.name ?? '', tablespaces);
      } else {
        // The proof comes last: with it the manifest gets its name.
        await transfer.unlessThreadFails(wal?.finish(positions) ?? Promise.resolve(), signal);
        this.#emitProgress(transfer);
        const summary = await transfer.unlessThreadFails(thread.finish(positions, corruption === undefined), signal);
        if (corruption !== undefined) throw new PagesCorrupted(options.directory, corruption);
        isDone = true;
        description = describeWritten(layout, summary);
      }
      return {
        ...description,
        systemId: server.systemId,
        serverVersion: server.version,
        startLsn: start.lsn,
        endLsn: end.lsn,
        timeline: end.timeline,
        durationMs: performance.now() - startedAt,
      };
    } finally {
      await wal?.close();
      await transfer.thread?.end();
      // Why it failed matters more; a server that is gone keeps the slot.
      if (!isDone && !options.keepOnError) await wal?.dropCreatedSlot().catch(() => {});
    }
  }

  /** Gives the server's error if it found corrupted pages, but sent everything. */
  async #run(copy: CopyOut, command: string, transfer: BackupTransfer): Promise<ServerError | undefined> {
    try {
      await copy.run(command);
      return undefined;
    } catch (error) {
      const isCorruption = error instanceof ServerError && error.sqlState === DATA_CORRUPTED;
      if (isCorruption && transfer.end !== undefined) return error;
      throw error;
    }
  }

  /** Lets the server know what the backup builds on. */
  async #uploadManifest(connection: PgConnection, server: SourceServer, earlierSystem: string): Promise<void> {
    const { incrementalFrom = '', signal } = this.#options;
    const options = { ...(signal && { signal }) };
    const summarizeWal =
      server.version < 170_000 ? undefined : (await connection.query('SHOW summarize_wal', options))[0]?.rows[0]?.[0];
    checkIncremental(earlierSystem, { ...server, summarizeWal: summarizeWal ?? undefined });
    await connection.copyIn('UPLOAD_MANIFEST', manifestPieces(incrementalFrom), options);
  }

  async #identify(connection: PgConnection): Promise<SourceServer> {
    const { signal } = this.#options;
    const options = { ...(signal && { signal }) };
    const show = async (name: string) => (await connection.query(`SHOW ${name}`, options))[0]?.rows[0]?.[0];
    const { systemId } = await connection.identifySystem(options);
    return {
      version: connection.serverVersion,
      systemId,
      // What the server lets its group read, the backup does too.
      groupAccess: (await show('data_directory_mode')) === '0750',
      walSegmentBytes: parseSegmentSize(await show('wal_segment_size')),
    };
  }

  #command(serverVersion: number): string {
    const { label, checkpoint, walMethod, maxRateKb, manifest, manifestChecksums, verifyChecksums, format } =
      this.#options;
    const { target, compression, incrementalFrom } = this.#options;
    const compressed = compression?.location === 'server' ? compression : undefined;
    return baseBackup(
      {
        label,
        checkpoint,
        progress: this.#listener.wantsProgress(),
        wal: walMethod === 'fetch',
        // Without WAL in the backup, the archive must have it.
        wait: walMethod === 'none',
        tablespaceMap: format === 'tar' || target !== undefined,
        verifyChecksums,
        ...(maxRateKb !== undefined && { maxRateKb }),
        manifest,
        ...(manifest !== 'no' && { manifestChecksums }),
        ...(target !== undefined && { target: target.name }),
        ...(target?.detail !== undefined && { targetDetail: target.detail }),
        ...(compressed !== undefined && { compression: commandCompression(compressed) }),
        ...(incrementalFrom !== undefined && { incremental: true }),
      },
      serverVersion,
    );
  }

  #layout(tablespaces: readonly BackupTablespace[], server: SourceServer): Omit<BackupLayout, 'parents'> {
    const { directory, format, walMethod, slot, manifest, manifestChecksums, recovery, connection, sync } =
      this.#options;
    const slotName = slot.kind === 'named' ? slot.name : undefined;
    return {
      directory,
      format,
      archives: tablespaces.map((tablespace) => this.#target(tablespace)),
      hasTrailer: server.version >= 150_000,
      groupAccess: server.groupAccess,
      manifestAlgorithm: manifestChecksums,
      generatedManifest: manifest !== 'no' ? undefined : server.version >= 170_000 ? 2 : 1,
      compression: this.#options.compression,
      systemIdentifier: BigInt(server.systemId),
      walSegmentBytes: walMethod === 'fetch' ? server.walSegmentBytes : undefined,
      walFolders: walMethod === 'stream' && format === 'plain' ? walFoldersOf(directory) : [],
      recoveryLines: recovery && recoveryLines(connection, recovery, slotName, server.version),
      sync,
    };
  }

  #target(tablespace: BackupTablespace): ArchiveTarget {
    const { directory, format, tablespaceMapping } = this.#options;
    const { oid, location } = tablespace;
    const name = archiveName(tablespace);
    if (oid === undefined || format === 'tar') return { name, oid, linkedFrom: undefined, directory };
    if (isInPlace(tablespace)) return { name, oid, linkedFrom: undefined, directory: join(directory, location) };
    const mapped = tablespaceMapping === 'server-paths' ? location : tablespaceMapping.get(serverPath(location));
    if (mapped === undefined || !isAbsolute(mapped)) {
      throw new ConfigurationError(
        `the server has a tablespace in ${location}: tablespaceMapping must say where it goes, or 'server-paths'`,
        { option: 'tablespaceMapping' },
      );
    }
    return { name, oid, linkedFrom: location, directory: mapped };
  }

  #claim(layout: Omit<BackupLayout, 'parents'>, directories: TargetDirectories): void {
    const mode = layout.groupAccess ? 0o750 : 0o700;
    directories.claim(layout.directory, mode, 'directory', layout.format === 'plain');
    for (const { linkedFrom, directory } of layout.archives) {
      if (linkedFrom !== undefined) directories.claim(directory, mode, 'tablespaceMapping', true);
    }
    // WAL comes from the beginning, the folders of the data directory at the end.
    for (const folder of layout.walFolders) makeDirectory(folder, mode, folder);
  }

  #streamWal(layout: BackupLayout, server: SourceServer, start: BackupPosition): BackupWal {
    const { connection, slot, sync, idleTimeoutMs, signal } = this.#options;
    const { walSegmentBytes: segmentBytes } = server;
    const { file: mode } = modesOf(layout);
    const store: WalStore =
      layout.format === 'plain'
        ? new WalFolderStore(layout.walFolders, segmentBytes, mode)
        : new WalArchiveStore(layout.directory, segmentBytes, mode, walCompression(layout.compression));
    return new BackupWal({
      connection,
      slot,
      systemId: server.systemId,
      start,
      segmentBytes,
      store,
      sync,
      livenessTimeoutMs: idleTimeoutMs,
      signal,
      onNotice: (notice) => this.#listener.onNotice(notice),
    });
  }

  #onProgress(transfer: BackupTransfer): void {
    const now = performance.now();
    if (now - this.#progressAt < PROGRESS_INTERVAL_MS) return;
    this.#progressAt = now;
    this.#emitProgress(transfer);
  }

  #emitProgress({ progress }: BackupTransfer): void {
    if (progress !== undefined) this.#listener.onProgress(progress);
  }
}

function commandCompression(compression: ResolvedCompression) {
  const detail = compressionDetail(compression);
  return { method: compression.method, ...(detail !== undefined && { detail }) };
}

/** A manifest lists the WAL of each timeline, and only the server knows where one left the other. */
function checkTimeline(start: number, end: number): void {
  if (start === end) return;
  throw new BackupError(
    `the timeline changed from ${start} to ${end} during the backup: only the server can make a manifest of that`,
    { path: MANIFEST_NAME },
  );
}

/** The one failure that leaves its files: they are what the server has, and may be all that is left of it. */
class PagesCorrupted extends BackupError {
  constructor(directory: string, cause: ServerError) {
    super(
      `the server found data pages with wrong checksums (${cause.message}); the files stay in ${directory}, with the ` +
        `manifest as ${UNPROVED_MANIFEST_NAME}`,
      { path: directory, cause },
    );
    this.name = 'BackupError';
  }
}

/** Removing must not hide why: both are said when it fails too. */
async function removeAfter(error: unknown, directories: TargetDirectories, directory: string): Promise<void> {
  try {
    await directories.remove();
  } catch (failure) {
    throw new BackupError(`the backup failed, and what it wrote to ${directory} cannot be removed`, {
      path: directory,
      cause: new AggregateError([error, failure]),
    });
  }
}
