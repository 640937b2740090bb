import { workerData } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { TransactionContext } from '../pgoutput/transaction-context.js';
import { type TranscodeResult, Transcoder } from '../pgoutput/transcoder.js';
import type { BatchPosition } from '../pgoutput/wal-batch.js';
import type { TypeRules } from '../types/type-rules.js';
import type { DecodeReply, DecodeTask, DecodeWorkerData, ModuleProblem, ThreadTask } from './decode-task.js';
import { encodeError } from './error-codec.js';
import { loadTransform } from './transform.js';
import { TransformRunner } from './transform-runner.js';
import { loadTypeRules } from './type-modules.js';
import { ValidateRunner } from './validate-runner.js';
import { loadValidators } from './validators.js';

/* What runs in each thread of the decode pool. */

// Not piscina's, which has none where a preload (`--import`) has loaded that before the thread began.
const { types, transform, validate, started } = workerData as DecodeWorkerData;
/** The user's modules of types are loaded before the first batch. */
let loading: Promise<{ rules: TypeRules; transcoder: Transcoder }> | undefined;
let runner: Promise<TransformRunner> | undefined;
let validator: Promise<ValidateRunner> | undefined;

function loadTypes(): Promise<{ rules: TypeRules; transcoder: Transcoder }> {
  loading ??= loadTypeRules(types).then((rules) => ({ rules, transcoder: new Transcoder(rules) }));
  return loading;
}

/** Loads the user's module once; the first task of every worker and the check before the stream starts wait for it. */
function transformRunner(): Promise<TransformRunner> | undefined {
  if (transform === undefined) return undefined;
  runner ??= loadTransform(transform).then((loaded) => new TransformRunner(loaded, transform.per, transform.options));
  return runner;
}

/** The same for the user's validators. */
function validateRunner(): Promise<ValidateRunner> | undefined {
  if (validate === undefined) return undefined;
  validator ??= loadValidators(validate).then((loaded) => new ValidateRunner(loaded, validate.onInvalid));
  return validator;
}

/** `undefined` when all is well; what is wrong with the user's module otherwise. */
export async function prepare(): Promise<ModuleProblem | undefined> {
  try {
    await loadTypes();
    await validateRunner();
    await transformRunner();
    return undefined;
  } catch (error) {
    const { message, option, cause } = error as Error & { option: string };
    return { message: cause instanceof Error ? `${message}: ${cause.message}` : message, option };
  }
}

/** Ends when every batch before has been decoded. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Decodes one stretch of the stream, after those that came before it: a transform sees one batch at a time. The reply's
 * memory is transferred, not copied.
 */
export function decode({ run, task }: ThreadTask): Promise<DecodeReply> {
  const decoded = turn.then(() => {
    // Whoever finds the thread dead reads here over which batch that was.
    Atomics.store(started, 0, run);
    return decodeStretch(task);
  });
  turn = decoded.catch(() => {});
  return decoded;
}

async function decodeStretch(task: DecodeTask): Promise<DecodeReply> {
  const { rules, transcoder } = await loadTypes();
  const startedAt = performance.now();
  const packed = transcoder.transcode({
    bytes: Buffer.from(task.memory),
    start: task.start,
    end: task.end,
    relations: task.relations,
    facts: task.facts,
  });
  const mismatchedTypes = [...rules.mismatches];
  rules.mismatches.clear();
  if (mismatchedTypes.length > 0 && !task.typesAreFinal) {
    return moved({ ...noEvents(), mismatchedTypes, busyMs: performance.now() - startedAt });
  }
  const validator = await validateRunner();
  const validated = await validator?.run(packed, positionOf(task, packed));
  const valid = validated === undefined ? packed : { ...packed, index: validated.index };
  const runner = await transformRunner();
  const transformed = await runner?.run(valid, positionOf(task, valid));
  const { index, data } = transformed ?? valid;
  const error = validated?.error ?? packed.error;
  const reply: DecodeReply = {
    index,
    data,
    error: error === undefined ? undefined : encodeError(error),
    transformFailure: transformed?.failure ?? validated?.failure,
    invalidRows: validated?.invalidRows,
    mismatchedTypes,
    busyMs: performance.now() - startedAt,
  };
  return moved(reply);
}

/** To be decoded again. */
function noEvents(): Omit<DecodeReply, 'mismatchedTypes' | 'busyMs'> {
  return { index: new Uint32Array(0), data: new Uint8Array(0), error: undefined, transformFailure: undefined };
}

function positionOf(task: DecodeTask, packed: TranscodeResult): BatchPosition {
  return {
    sequence: task.sequence,
    start: {
      transaction: task.transaction === undefined ? undefined : new TransactionContext(task.transaction),
      ordinal: task.ordinal,
    },
    firstUnit: 0,
    // Nothing is acknowledged from here.
    unitCounter: task,
    relations: packed.relations,
    byteCount: task.end - task.start,
  };
}

/** Marks the reply's two memories for transfer. */
function moved(reply: DecodeReply): DecodeReply {
  const transferable = {
    get [transferableSymbol]() {
      return [reply.index.buffer, reply.data.buffer];
    },
    get [valueSymbol]() {
      return reply;
    },
  };
  return move(transferable as never) as unknown as DecodeReply;
}
