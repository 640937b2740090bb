/** Takes the WAL of one timeline in its order, from the start of a segment on, and keeps it. Errors are BackupErrors. */
export interface WalWriter {
  /** Everything before it has been handed to the system. */
  readonly writtenLsn: bigint;
  /** Everything before it need not come again. */
  readonly flushedLsn: bigint;
  /** Appends. */
  write(bytes: Buffer): Promise<void>;
  /** Makes what was written need not come again. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
