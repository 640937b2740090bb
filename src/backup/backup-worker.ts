import { parentPort, workerData } from 'node:worker_threads';
import type { BackupLayout, BackupSummary } from './backup-layout.js';
import { type BackupReply, type BackupTask, encodeFailure } from './backup-task.js';
import { BackupWriter } from './backup-writer.js';

/** What runs in the thread: does as it is told by messages until something fails. */
export function runBackupWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error('not a worker thread');
  const reply = (message: BackupReply) => port.postMessage(message);
  const writer = new BackupWriter(workerData as BackupLayout);
  let failed = false;
  let last: Promise<void> = Promise.resolve();
  const next = async (task: BackupTask): Promise<void> => {
    if (failed) return;
    try {
      const summary = await perform(writer, task);
      if (task.kind === 'bytes') reply({ kind: 'taken' });
      if (summary !== undefined) reply({ kind: 'finished', summary });
    } catch (error) {
      failed = true;
      reply({ kind: 'failed', failure: encodeFailure(error) });
    }
  };
  // zlib works in threads of its own, and what it was not yet done with has to wait.
  port.on('message', (task: BackupTask) => {
    last = last.then(() => next(task));
  });
}

async function perform(writer: BackupWriter, task: BackupTask): Promise<BackupSummary | undefined> {
  switch (task.kind) {
    case 'archive':
      await writer.beginArchive(task.index);
      return undefined;
    case 'manifest':
      await writer.beginManifest();
      return undefined;
    case 'bytes': {
      const { stretches } = task;
      const bytes = Buffer.from(task.memory);
      for (let i = 0; i < stretches.length; i += 2) {
        const used = writer.push(bytes, stretches[i], stretches[i + 1]);
        if (used !== undefined) await used;
      }
      return undefined;
    }
    case 'finish':
      return writer.finish(task.positions, task.prove);
    default:
      return task satisfies never;
  }
}
