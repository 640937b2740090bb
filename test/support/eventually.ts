import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Far beyond what anything takes that a test waits for. */
const PATIENCE_MS = 30_000;

/** Resolves once it holds. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `${what} did not come about`);
    await delay(20);
  }
}
