import { monitorEventLoopDelay } from 'node:perf_hooks';

const SAMPLE_MS = 1_000;
const NS_PER_MS = 1e6;
const MIB = 1024 * 1024;

/** What the soak takes of this process: memory, and how late its event loop is. */
export class ProcessFigures implements Disposable {
  readonly #delay = monitorEventLoopDelay({ resolution: 5 });
  readonly #rssMib: number[] = [];
  readonly #heapMib: number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#delay.enable();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#sample();
  }

  rows(): Record<string, string> {
    const delay = (percentile: number) => (this.#delay.percentile(percentile) / NS_PER_MS).toFixed(1);
    return {
      'RSS, MiB: first / median / last / most': spreadOf(this.#rssMib),
      'heap, MiB: first / median / last / most': spreadOf(this.#heapMib),
      'event loop delay, ms: p50 / p99 / p99.9 / most': `${delay(50)} / ${delay(99)} / ${delay(99.9)} / ${(this.#delay.max / NS_PER_MS).toFixed(1)}`,
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#delay.disable();
  }

  #sample(): void {
    const { rss, heapUsed } = process.memoryUsage();
    this.#rssMib.push(rss / MIB);
    this.#heapMib.push(heapUsed / MIB);
  }
}

function spreadOf(samples: readonly number[]): string {
  const sorted = [...samples].sort((a, b) => a - b);
  const figures = [samples[0], sorted[sorted.length >> 1], samples.at(-1), sorted.at(-1)];
  return figures.map((figure) => Math.round(figure ?? 0)).join(' / ');
}
