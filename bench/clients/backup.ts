import { monitorEventLoopDelay } from 'node:perf_hooks';
import { BaseBackup } from '../../src/index.js';
import type { BackupReport, BackupRequest } from './backup-request.js';

const { connection, directory, walMethod, manifestChecksums, sync } = JSON.parse(
  process.argv[2] ?? '{}',
) as BackupRequest;

const delay = monitorEventLoopDelay({ resolution: 1 });
const backup = new BaseBackup({ connection, directory, walMethod, manifestChecksums, sync, checkpoint: 'fast' });
delay.enable();
const { verified } = await backup.run();
delay.disable();
const report: BackupReport = { verified, loopDelayP99Ms: delay.percentile(99) / 1e6 };
process.stdout.write(JSON.stringify(report));
