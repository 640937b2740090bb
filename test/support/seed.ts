import assert from 'node:assert/strict';

const BELOW = 2 ** 31;

/**
 * What tests with random input start from: the same in each run, so that a change is judged by itself. Others are tried
 * with `WORKLOAD_SEED=random`; a test that fails then names the number, which `WORKLOAD_SEED` also takes.
 */
export const SEED = readSeed(process.env.WORKLOAD_SEED ?? '20261123');

function readSeed(text: string): number {
  if (text === 'random') return Math.floor(Math.random() * BELOW);
  const seed = Number(text);
  assert.ok(Number.isInteger(seed) && seed >= 0 && seed < BELOW, `WORKLOAD_SEED is '${text}', not a whole number`);
  return seed;
}
