import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A file system of so many bytes, in memory; gone when the test has ended, however. */
export async function smallDisk(t: Pick<TestContext, 'after'>, byteCount: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'walstream-disk-'));
  let isMounted = false;
  t.after(async () => {
    // Also when something in it is still open.
    if (isMounted) await execute('umount', ['--lazy', folder]);
    await rm(folder, { recursive: true, force: true });
  });
  await mount(folder, byteCount);
  isMounted = true;
  return folder;
}

async function mount(folder: string, byteCount: number): Promise<void> {
  await execute('mount', ['-t', 'tmpfs', '-o', `size=${byteCount}`, 'tmpfs', folder]);
}

/** For `skip` of tests that need {@link smallDisk}. */
export const needsSmallDisk: string | false = await whyNone();

async function whyNone(): Promise<string | false> {
  if (process.platform !== 'linux') return 'small file systems are made with tmpfs, which Linux has';
  if (process.getuid?.() !== 0) return 'only root may mount a small file system';
  const folder = await mkdtemp(join(tmpdir(), 'walstream-disk-'));
  try {
    await mount(folder, 65_536);
    await execute('umount', [folder]);
    return false;
  } catch {
    return 'this machine does not let root mount a small file system';
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
