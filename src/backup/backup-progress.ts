import { archiveName, type BackupTablespace } from './tablespace.js';

/** How far a backup is. `receivedBytes / expectedBytes` never goes back, and never beyond 1. */
export interface BackupProgress {
  /** Bytes of archives so far. */
  readonly receivedBytes: number;
  /** The server's estimate, or what came where that is more; `undefined` if the server was not asked. */
  readonly expectedBytes: number | undefined;
  /** What is coming: name of an archive, `backup_manifest`, or `undefined` before the first and behind the last. */
  readonly archive: string | undefined;
  /** In the order in which they come; the data directory, which has no `oid`, is the last. */
  readonly tablespaces: readonly TablespaceProgress[];
  /** Over the last seconds. */
  readonly bytesPerSecond: number;
  /** At this rate; `undefined` when nothing comes, or nothing is known of how much will. */
  readonly remainingMs: number | undefined;
}

/** How far the archive of one tablespace is. */
export interface TablespaceProgress {
  /** `undefined` for the data directory. */
  readonly oid: number | undefined;
  /** Path on the server; empty for the data directory. */
  readonly location: string;
  /** Of its archive. */
  readonly receivedBytes: number;
  /** The server's estimate, or what came where that is more or the archive has ended. */
  readonly expectedBytes: number | undefined;
}

/** The rate is that of so long a time. */
const RATE_WINDOW_MS = 5_000;
/** Looks at the clock that are kept for it; so it never holds more than a few dozen. */
const SAMPLE_INTERVAL_MS = 200;

interface Sample {
  readonly atMs: number;
  readonly receivedBytes: number;
}

/** Counts what comes of each tablespace. Clocks are the caller's. */
export class ProgressMeter {
  readonly #tablespaces: readonly BackupTablespace[];
  readonly #received: number[];
  readonly #isEstimated: boolean;
  /** The oldest first. */
  readonly #samples: Sample[] = [];
  #current = -1;
  #manifestBegun = false;
  #receivedBytes = 0;

  constructor(tablespaces: readonly BackupTablespace[]) {
    this.#tablespaces = tablespaces;
    this.#received = tablespaces.map(() => 0);
    this.#isEstimated = tablespaces.every(({ sizeKb }) => sizeKb !== undefined);
  }

  /** An archive begins; the last has ended. */
  beginArchive(index: number): void {
    this.#current = index;
  }

  beginManifest(): void {
    this.#current = this.#tablespaces.length;
    this.#manifestBegun = true;
  }

  /** Everything has come. */
  end(): void {
    this.#current = this.#tablespaces.length;
  }

  add(byteCount: number, nowMs: number): void {
    if (this.#manifestBegun) return;
    this.#received[this.#current] += byteCount;
    this.#receivedBytes += byteCount;
    this.#sample(nowMs);
  }

  progress(nowMs: number): BackupProgress {
    const tablespaces = this.#tablespaces.map(({ oid, location }, index) => ({
      oid,
      location,
      receivedBytes: this.#received[index] ?? 0,
      expectedBytes: this.#expected(index),
    }));
    const expectedBytes = this.#isEstimated
      ? tablespaces.reduce((sum, one) => sum + (one.expectedBytes ?? 0), 0)
      : undefined;
    const bytesPerSecond = this.#rate(nowMs);
    const known = expectedBytes !== undefined && bytesPerSecond > 0;
    const current = this.#tablespaces[this.#current];
    return {
      receivedBytes: this.#receivedBytes,
      expectedBytes,
      archive: this.#manifestBegun ? 'backup_manifest' : current && archiveName(current),
      tablespaces,
      bytesPerSecond,
      remainingMs: known ? ((expectedBytes - this.#receivedBytes) * 1000) / bytesPerSecond : undefined,
    };
  }

  /** What has ended is known; what has not is estimated, but no less than what came. */
  #expected(index: number): number | undefined {
    if (!this.#isEstimated) return undefined;
    const received = this.#received[index] ?? 0;
    return index < this.#current ? received : Math.max(received, (this.#tablespaces[index]?.sizeKb ?? 0) * 1024);
  }

  #sample(nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.atMs < SAMPLE_INTERVAL_MS) return;
    this.#samples.push({ atMs: nowMs, receivedBytes: this.#receivedBytes });
    while ((this.#samples[1]?.atMs ?? nowMs) <= nowMs - RATE_WINDOW_MS) this.#samples.shift();
  }

  #rate(nowMs: number): number {
    const first = this.#samples[0];
    // Of an instant there is no rate.
    if (first === undefined || nowMs - first.atMs < SAMPLE_INTERVAL_MS) return 0;
    return ((this.#receivedBytes - first.receivedBytes) * 1000) / (nowMs - first.atMs);
  }
}
