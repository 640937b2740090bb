import type { Drain } from './drain.js';
import { type Spread, spreadOf } from './spread.js';

/** This engine, in every contest that it is in. */
export const TYPED = 'pg-walstream, typed rows read';
export const PACKED = 'pg-walstream, rows left packed';

/** One of those who drain the same in turn. */
export type Contestant = readonly [name: string, drain: () => Promise<Drain>];

/** What each of them took, round by round. */
export type ContestResult = ReadonlyMap<string, readonly Drain[]>;

/** Runs everyone in turn, A B C, A B C, so that what slows a while down weighs on all. */
export async function drainInTurn(
  title: string,
  contestants: readonly Contestant[],
  rounds: number,
  progress: (line: string) => void,
): Promise<ContestResult> {
  const drains = new Map<string, Drain[]>(contestants.map(([name]) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const [name, drain] of contestants) {
      const result = await drain();
      drains.get(name)?.push(result);
      progress(`${title}, round ${round}: ${name}: ${Math.round(changesPerSecond(result))} changes/s`);
    }
  }
  return drains;
}

/** How much faster one was than another, round by round. */
export function rateRatio(drains: ContestResult, name: string, other: string): Spread {
  const own = drains.get(name) ?? [];
  const others = drains.get(other) ?? [];
  return spreadOf(own.map((drain, round) => changesPerSecond(drain) / changesPerSecond(others[round] ?? drain)));
}

export function changesPerSecond({ rowCount, streamMs }: Drain): number {
  return rowCount / (streamMs / 1000);
}

export function cpuUsPerChange({ cpuMs, rowCount }: Drain): number {
  return (cpuMs * 1000) / rowCount;
}

export function megabytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / 1e6;
}

export function spreadOfKnown(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : spreadOf(known);
}
