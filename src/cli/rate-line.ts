import { performance } from 'node:perf_hooks';
import type { WalStreamStats } from '../index.js';

type LoopUtilization = ReturnType<typeof performance.eventLoopUtilization>;

interface RateSample {
  readonly atMs: number;
  readonly loop: LoopUtilization;
  readonly cpuMs: number;
  readonly stats: WalStreamStats;
}

/** What a live line shows of the time between two looks. */
export interface Rates {
  readonly changesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Of the main thread's time, in parts of 1. */
  readonly mainThreadShare: number;
  /** Of one thread's time; several busy workers make more than 1. */
  readonly workerShare: number;
  readonly lagMs: number | undefined;
  readonly lagBytes: bigint | undefined;
}

/** Compares a stream's figures with those of the last look. */
export class RateSampler {
  readonly #stats: () => WalStreamStats;
  readonly #first: RateSample;
  #last: RateSample;

  constructor(stats: () => WalStreamStats) {
    this.#stats = stats;
    this.#first = this.#sample();
    this.#last = this.#first;
  }

  /** Rates since the last call. */
  next(): Rates {
    const before = this.#last;
    this.#last = this.#sample();
    return ratesBetween(before, this.#last);
  }

  /** Rates since the beginning. */
  overall(): Rates {
    return ratesBetween(this.#first, this.#sample());
  }

  #sample(): RateSample {
    const { user, system } = process.cpuUsage();
    return {
      atMs: performance.now(),
      loop: performance.eventLoopUtilization(),
      cpuMs: (user + system) / 1000,
      stats: this.#stats(),
    };
  }
}

function ratesBetween(before: RateSample, now: RateSample): Rates {
  const elapsedMs = Math.max(now.atMs - before.atMs, 1);
  return {
    changesPerSecond: ((now.stats.changesReceived - before.stats.changesReceived) * 1000) / elapsedMs,
    bytesPerSecond: ((now.stats.bytesReceived - before.stats.bytesReceived) * 1000) / elapsedMs,
    // Where others take the cores, the event loop counts its waiting for one as work: the CPU of all threads is a bound.
    mainThreadShare: Math.min(
      performance.eventLoopUtilization(now.loop, before.loop).utilization,
      (now.cpuMs - before.cpuMs) / elapsedMs,
    ),
    workerShare: (now.stats.workerBusyMs - before.stats.workerBusyMs) / elapsedMs,
    lagMs: now.stats.lagMs,
    lagBytes: now.stats.lagBytes,
  };
}

/** `81,204 changes/s  14.2 MB/s  lag 3 ms, 1.2 MB  main thread 21 %  workers 30 %` */
export function rateLine(rates: Rates): string {
  return [
    `${formatCount(rates.changesPerSecond)} changes/s`,
    `${formatBytes(rates.bytesPerSecond)}/s`,
    `lag ${formatLag(rates)}`,
    `main thread ${formatShare(rates.mainThreadShare)}`,
    `workers ${formatShare(rates.workerShare)}`,
  ].join('  ');
}

function formatLag({ lagMs, lagBytes }: Rates): string {
  const parts: string[] = [];
  if (lagMs !== undefined) parts.push(lagMs < 10_000 ? `${Math.round(lagMs)} ms` : `${Math.round(lagMs / 1000)} s`);
  if (lagBytes !== undefined) parts.push(formatBytes(Number(lagBytes)));
  return parts.length === 0 ? '-' : parts.join(', ');
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  if (bytes < 1_000_000_000) return `${(bytes / 1_000_000).toFixed(1)} MB`;
  return `${(bytes / 1_000_000_000).toFixed(2)} GB`;
}

export function formatShare(share: number): string {
  return `${Math.round(share * 100)} %`;
}
