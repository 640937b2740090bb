import { setTimeout as sleep } from 'node:timers/promises';
import { Lsn, type WalBatch, WalStream } from '../../src/index.js';
import { ROW_TOUCHERS, touched } from '../row-shape.js';
import { cpuMsSoFar, type DrainReport, readDrainRequest } from './drain-request.js';

const request = readDrainRequest();
const touchRow = ROW_TOUCHERS[request.shape];
const { stallAfterRows = Number.POSITIVE_INFINITY, stallMs = 0, pauseMs = 0 } = request;

let rowCount = 0;
let idSum = 0;

const readBatch: (batch: WalBatch) => void = {
  rows(batch: WalBatch) {
    for (const event of batch) {
      if (event.kind !== 'insert') continue;
      rowCount++;
      idSum += touchRow(event.new);
    }
  },
  packed(batch: WalBatch) {
    for (const event of batch) if (event.kind === 'insert') rowCount++;
  },
  transform(batch: WalBatch) {
    for (const event of batch) {
      if (event.kind !== 'insert') continue;
      rowCount++;
      idSum += event.value as number;
    }
  },
}[request.read];

async function drain(slot: string): Promise<DrainReport> {
  const stream = new WalStream({
    connection: request.connection,
    slot,
    publications: request.publication,
    stopLsn: Lsn.parse(request.stopLsn),
    ...(request.workers === undefined ? {} : { workers: request.workers }),
    ...(request.read === 'transform' ? { transform: { module: new URL('../keep-few.js', import.meta.url) } } : {}),
  });
  rowCount = 0;
  idSum = 0;
  let stalled = false;
  await stream.start();
  const startCpuMs = cpuMsSoFar();
  const startedAt = performance.now();
  const idle = performance.eventLoopUtilization();
  // The loop itself ends only when connection and workers are closed.
  let endedAt = startedAt;
  for await (const batch of stream.batches()) {
    readBatch(batch);
    endedAt = performance.now();
    if (rowCount >= stallAfterRows && !stalled) {
      stalled = true;
      await sleep(stallMs);
    }
    if (pauseMs > 0) await sleep(pauseMs);
  }
  const { bytesReceived, reads } = stream.stats();
  const report: DrainReport = {
    streamMs: endedAt - startedAt,
    startCpuMs,
    streamCpuMs: cpuMsSoFar() - startCpuMs,
    rowCount,
    idSum,
    bytesPerRead: bytesReceived / reads,
    mainThreadShare: performance.eventLoopUtilization(idle).utilization,
  };
  await stream.stop();
  return report;
}

if (request.warmUpSlot !== undefined) await drain(request.warmUpSlot);
console.log(JSON.stringify(await drain(request.slot)));
process.exitCode = touched() > 0 || request.read !== 'rows' ? 0 : 1;
