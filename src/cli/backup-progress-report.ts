import type { WriteStream } from 'node:tty';
import type { BackupProgress } from '../index.js';
import { LiveLine } from './live-line.js';
import { formatBytes } from './rate-line.js';

/** `line`: a bar that is rewritten on a terminal, a line now and then elsewhere. `json`: a JSON line per second. */
export type ProgressForm = 'line' | 'json';

const LINE_INTERVAL_MS = 1_000;
const BAR_CHARACTERS = 24;

/** Says on a stream how far a backup is, until it is disposed of. */
export class BackupProgressReport implements Disposable {
  readonly #stream: Pick<WriteStream, 'isTTY' | 'columns' | 'write'>;
  readonly #form: ProgressForm;
  readonly #live: LiveLine;
  readonly #timer: NodeJS.Timeout | undefined;
  #last: BackupProgress | undefined;
  #told: BackupProgress | undefined;

  constructor(stream: Pick<WriteStream, 'isTTY' | 'columns' | 'write'>, form: ProgressForm) {
    this.#stream = stream;
    this.#form = form;
    this.#live = new LiveLine(stream);
    const bySecond = form === 'json' || !this.#live.rewrites;
    this.#timer = bySecond ? setInterval(() => this.#tellWhenDue(), LINE_INTERVAL_MS) : undefined;
  }

  show(progress: BackupProgress): void {
    this.#last = progress;
    if (this.#timer === undefined) this.#tell(progress);
  }

  /** Other text may be written now. */
  interrupt(): void {
    this.#live.end();
  }

  /** The last figures are said, if they were not. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#timer !== undefined && this.#last !== undefined && this.#told !== this.#last) this.#tell(this.#last);
    this.#live.end();
  }

  #tellWhenDue(): void {
    if (this.#last === undefined) return;
    if (this.#form === 'json' || this.#live.isDue(percentOf(this.#last))) this.#tell(this.#last);
  }

  #tell(progress: BackupProgress): void {
    this.#told = progress;
    if (this.#form === 'json') this.#stream.write(`${progressJson(progress)}\n`);
    else this.#live.show(progressLine(progress));
  }
}

/** `[############------------] 51 %  1.20 GB of 2.33 GB  310.5 MB/s  4 s left  base.tar` */
export function progressLine(progress: BackupProgress): string {
  const { receivedBytes, expectedBytes, bytesPerSecond, remainingMs, archive } = progress;
  const parts: string[] = [];
  const percent = percentOf(progress);
  if (percent !== undefined) {
    const filled = Math.floor((BAR_CHARACTERS * percent) / 100);
    parts.push(`[${'#'.repeat(filled)}${'-'.repeat(BAR_CHARACTERS - filled)}] ${percent} %`);
  }
  const whole = expectedBytes === undefined ? '' : ` of ${formatBytes(expectedBytes)}`;
  parts.push(`${formatBytes(receivedBytes)}${whole}`, `${formatBytes(bytesPerSecond)}/s`);
  if (remainingMs !== undefined) parts.push(`${formatSeconds(remainingMs)} left`);
  if (archive !== undefined) parts.push(archive);
  return parts.join('  ');
}

/** One line of `--progress=json`: the figures of the library's event, and the whole percents. */
export function progressJson(progress: BackupProgress): string {
  const { bytesPerSecond, remainingMs, ...rest } = progress;
  return JSON.stringify({
    ...rest,
    percent: percentOf(progress),
    bytesPerSecond: Math.round(bytesPerSecond),
    ...(remainingMs !== undefined && { remainingMs: Math.round(remainingMs) }),
  });
}

function percentOf({ receivedBytes, expectedBytes }: BackupProgress): number | undefined {
  if (expectedBytes === undefined || expectedBytes === 0) return undefined;
  return Math.floor((100 * receivedBytes) / expectedBytes);
}

function formatSeconds(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}
