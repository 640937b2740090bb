import pgLogicalReplication from 'pg-logical-replication';
import { Lsn } from '../../src/lsn.js';
import { ROW_TOUCHERS, touched } from '../row-shape.js';
import { cpuMsSoFar, type DrainReport, readDrainRequest } from './drain-request.js';

/*
 * The fastest way there is to run it: no flow control, and positions acknowledged on a timer instead of one by one.
 */

const request = readDrainRequest();
const touchRow = ROW_TOUCHERS[request.shape];
const stopLsn = Lsn.parse(request.stopLsn);

async function drain(slot: string): Promise<DrainReport> {
  const service = new pgLogicalReplication.LogicalReplicationService(
    { connectionString: request.connection },
    { acknowledge: { auto: false, timeoutSeconds: 10 } },
  );
  const plugin = new pgLogicalReplication.PgoutputPlugin({ protoVersion: 1, publicationNames: [request.publication] });
  let startedAt = 0;
  let startCpuMs = 0;
  let rowCount = 0;
  let idSum = 0;
  service.on('start', () => {
    startCpuMs = cpuMsSoFar();
    startedAt = performance.now();
  });
  const report = await new Promise<DrainReport>((resolve, reject) => {
    service.on('error', reject);
    service.on('data', (_lsn: string, message: pgLogicalReplication.Pgoutput.Message) => {
      if (message.tag === 'insert') {
        rowCount++;
        idSum += touchRow(message.new);
      } else if (
        message.tag === 'commit' &&
        message.commitEndLsn !== null &&
        Lsn.parse(message.commitEndLsn) > stopLsn
      ) {
        const streamMs = performance.now() - startedAt;
        resolve({ streamMs, startCpuMs, streamCpuMs: cpuMsSoFar() - startCpuMs, rowCount, idSum });
      }
    });
    service.subscribe(plugin, slot).catch(reject);
  });
  // It waits for a server that has nothing more to say otherwise.
  if (slot !== request.slot) await service.destroy();
  return report;
}

if (request.warmUpSlot !== undefined) await drain(request.warmUpSlot);
const report = await drain(request.slot);
process.stdout.write(JSON.stringify(report), () => process.exit(touched() > 0 ? 0 : 1));
