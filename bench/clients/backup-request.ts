import type { BaseBackupOptions } from '../../src/index.js';

/** What a client of the backup bench is to do; its only argument, as JSON. */
export interface BackupRequest {
  readonly connection: string;
  readonly directory: string;
  readonly walMethod: NonNullable<BaseBackupOptions['walMethod']>;
  readonly manifestChecksums: NonNullable<BaseBackupOptions['manifestChecksums']>;
  readonly sync: boolean;
}

/** What it tells at its end; its only output, as JSON. */
export interface BackupReport {
  readonly verified: boolean;
  /** 99th percentile of how late timers of the main thread were, their resolution of 1 ms included. */
  readonly loopDelayP99Ms: number;
}
