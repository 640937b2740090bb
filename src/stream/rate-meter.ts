/** Seconds over which rates are taken. */
const SAMPLES = 5;

interface Sample {
  readonly atMs: number;
  readonly counts: readonly number[];
}

/** Rates of counters over the last seconds, sampled by whoever has a timer. */
export class RateMeter {
  readonly #samples: Sample[] = [];

  sample(atMs: number, counts: readonly number[]): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < 900) return;
    this.#samples.push({ atMs, counts });
    if (this.#samples.length > SAMPLES + 1) this.#samples.shift();
  }

  /** Per second, from the oldest sample to now. */
  rates(atMs: number, counts: readonly number[]): number[] {
    const oldest = this.#samples[0];
    const seconds = oldest === undefined ? 0 : (atMs - oldest.atMs) / 1000;
    return counts.map((count, index) => (seconds <= 0 ? 0 : (count - (oldest?.counts[index] ?? 0)) / seconds));
  }
}
