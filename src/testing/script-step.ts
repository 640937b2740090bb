import { setTimeout as delay } from 'node:timers/promises';
import { encodeCopyData } from '../protocol/copy-data.js';
import { noticeResponse } from './backend-bytes.js';
import type { FaultWriter } from './fault-writer.js';

/**
 * What both scripts of a fake sender may have it do, the one of WAL and the one of a backup:
 *
 * - `copyData`: the payload of a CopyData, whatever it is
 * - `pause`: nothing for so long
 * - `notice`: a NoticeResponse in the middle of the COPY
 * - `cut`, `stall`, `freeze`: what the `Fault` of that name does, here and now
 */
export type ScriptStep =
  | { readonly kind: 'copyData'; readonly payload: Uint8Array }
  | { readonly kind: 'pause'; readonly ms: number }
  | { readonly kind: 'notice'; readonly sqlState: string; readonly message: string }
  | { readonly kind: 'cut' | 'stall' | 'freeze' };

/** Resolves when there is room for the next step; a pause rejects when `signal` is aborted. */
export async function takeStep(step: ScriptStep, writer: FaultWriter, signal: AbortSignal): Promise<void> {
  switch (step.kind) {
    case 'copyData':
      return writer.send(encodeCopyData(step.payload), true);
    case 'pause':
      await delay(step.ms, undefined, { signal });
      return;
    case 'notice':
      return writer.send(noticeResponse(step));
    case 'cut':
    case 'stall':
    case 'freeze':
      return writer.stop(step.kind);
    default:
      step satisfies never;
      throw new TypeError(`${JSON.stringify((step as ScriptStep).kind)} is no kind of step`);
  }
}
