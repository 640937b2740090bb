import { EventEmitter } from 'node:events';
import type { ServerNotice } from '../connection/server-error.js';
import { ConfigurationError } from '../errors.js';
import { type BaseBackupOptions, type ResolvedBackupOptions, resolveBackupOptions } from './backup-options.js';
import type { BackupProgress } from './backup-progress.js';
import type { BackupResult } from './backup-result.js';

interface BackupEvents {
  progress: [BackupProgress];
  notice: [ServerNotice];
}

/**
 * A physical base backup of a whole server: received, written and compared with the server's manifest at once. The files
 * are written, and their checksums computed, by a thread of its own while they arrive.
 *
 * It is one stream, of which the server decides the speed. Events: `progress` ({@link BackupProgress}), about ten times a
 * second, and `notice` ({@link ServerNotice}).
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export class BaseBackup extends EventEmitter<BackupEvents> {
  readonly #options: ResolvedBackupOptions;
  #started = false;

  /** ConfigurationError names the option at fault. */
  constructor(options: BaseBackupOptions) {
    super();
    this.#options = resolveBackupOptions(options);
  }

  /**
   * Takes the backup; once only. When it fails, what was written is removed unless `keepOnError` says otherwise, and there
   * is never a `backup_manifest`: ConfigurationError (a folder that is not empty, a tablespace without a mapping),
   * BackupError (files, archives), ManifestMismatchError, and the errors of connections: ConnectionError, TimeoutError,
   * AuthenticationError, ServerError, ProtocolError. An abort rejects with the signal's reason.
   *
   * After page checksums that do not match, which the server reports at the very end, the files stay: BackupError
   * says so, with the server's error as its cause.
   */
  async run(): Promise<BackupResult> {
    if (this.#started) throw new ConfigurationError('a BaseBackup runs once', { option: 'run' });
    this.#started = true;
    // Loaded now: who only streams is not to wait for it when the process starts.
    const { BackupRun } = await import('./backup-run.js');
    const backup = new BackupRun(this.#options, {
      wantsProgress: () => this.listenerCount('progress') > 0,
      onProgress: (progress) => this.emit('progress', progress),
      onNotice: (notice) => this.emit('notice', notice),
    });
    return await backup.take();
  }
}
