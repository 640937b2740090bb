/** Entry of the thread that writes a base backup: a file of its own, so that its URL has one form. */
import { runBackupWorker } from '../src/backup/backup-worker.js';

runBackupWorker();
