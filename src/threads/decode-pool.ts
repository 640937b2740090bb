import { ConfigurationError, WorkerError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { PackedBatch } from '../pgoutput/packed-batch.js';
import type {
  DecodeReply,
  DecodeTask,
  DecodeWorkerData,
  InvalidRows,
  ModuleProblem,
  TransformFailure,
} from './decode-task.js';
import { BATCHES_PER_THREAD, DecodeThread, NoAnswer, type ThreadEnd } from './decode-thread.js';
import { decodeError } from './error-codec.js';
import { moduleSources } from './type-modules.js';

export interface DecodePoolOptions extends Omit<DecodeWorkerData, 'started'> {
  readonly workers: number;
  /** A batch that takes longer is taken away from its worker, which is ended. */
  readonly timeoutMs: number;
  /** Bound on the JavaScript heap of each worker, MiB; default {@link WORKER_HEAP_MB}. */
  readonly heapMb?: number;
  readonly onFailure?: (failure: BatchFailure) => void;
}

/** A worker failed on a batch: the first time it is decoded again. */
export interface BatchFailure {
  readonly sequence: number;
  readonly lsn: bigint | undefined;
  readonly attempt: 1 | 2;
  readonly error: unknown;
}

/**
 * A worker that needs more runs out of memory, and is replaced. Without a bound of its own, what a user's function
 * allocates would end the process, or take all of the machine's memory.
 */
const WORKER_HEAP_MB = 2048;

/** A batch as the workers packed it. */
export interface PooledBatch extends PackedBatch {
  /**
   * What stopped it after the last event: a DecodeError, or the {@link WorkerError} of a transform that failed twice;
   * `undefined` when all of it is there.
   */
  readonly error: unknown;
  /** See {@link DecodeReply.mismatchedTypes}. */
  readonly mismatchedTypes: readonly number[];
  readonly invalidRows: InvalidRows | undefined;
}

interface Job {
  readonly task: DecodeTask;
  readonly firstLsn: bigint | undefined;
  readonly resolve: (batch: PooledBatch) => void;
  readonly reject: (error: unknown) => void;
  /** Why the first attempt failed. */
  failure: unknown;
}

/**
 * Worker threads that decode batches. A batch whose worker threw, exited, ran out of memory or hung is decoded once
 * more, alone, so that the second failure is surely its own: then it is a {@link WorkerError}. A transform that threw
 * leaves what came before; of a thread that is gone there is nothing. A batch that only waited for such a thread goes
 * to another, as if nothing had been.
 */
export class DecodePool {
  readonly #threads: readonly DecodeThread[];
  readonly #moduleUrl: string | undefined;
  readonly #moduleOption: string;
  readonly #timeoutMs: number;
  readonly #onFailure: ((failure: BatchFailure) => void) | undefined;
  readonly #waiting: Job[] = [];
  readonly #suspects: Job[] = [];
  /** A suspect is running. */
  #quarantined = false;
  #running = 0;
  #closed = false;
  #busyMs = 0;
  #batches = 0;
  #restarts = 0;

  constructor(options: DecodePoolOptions) {
    const { workers, types, transform, validate, timeoutMs, heapMb = WORKER_HEAP_MB } = options;
    const [parser] = moduleSources(types);
    this.#moduleUrl = transform?.moduleUrl ?? validate?.moduleUrl ?? parser?.moduleUrl;
    this.#moduleOption =
      transform !== undefined ? 'transform.module' : validate !== undefined ? 'validate.module' : 'types.overrides';
    this.#timeoutMs = timeoutMs;
    this.#onFailure = options.onFailure;
    const hasModules = this.#moduleUrl !== undefined;
    this.#threads = Array.from(
      { length: workers },
      () => new DecodeThread({ types, transform, validate, timeoutMs, heapMb, hasModules }),
    );
  }

  /** Whether {@link prepare} has something to check: a user's module. */
  get needsPreparation(): boolean {
    return this.#moduleUrl !== undefined;
  }

  /** Starts the threads, which otherwise come up with their first batches. */
  start(): void {
    for (const thread of this.#threads) thread.start();
  }

  /** Milliseconds that workers spent decoding, all together. */
  get busyMs(): number {
    return this.#busyMs;
  }

  get batches(): number {
    return this.#batches;
  }

  /** Batches that had to be decoded again. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Starts a worker and loads the user's module; {@link ConfigurationError} when that fails, ends the thread or takes
   * longer than a batch may.
   */
  async prepare(): Promise<void> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this.#timeoutMs);
    let problem: ModuleProblem | undefined;
    try {
      problem = await this.#threads[0]?.prepare(abort.signal);
    } catch (cause) {
      if (this.#closed || this.#moduleUrl === undefined) throw cause;
      const why = abort.signal.aborted ? `within ${this.#timeoutMs} ms` : 'without ending its thread';
      throw new ConfigurationError(`the module ${this.#moduleUrl} cannot be loaded ${why}`, {
        option: this.#moduleOption,
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
    if (problem !== undefined) throw new ConfigurationError(problem.message, { option: problem.option });
  }

  /** Decodes one batch; rejects with {@link WorkerError} when nothing of it came back. `firstLsn` names it in errors. */
  decode(task: DecodeTask, firstLsn: bigint | undefined): Promise<PooledBatch> {
    return new Promise((resolve, reject) => {
      const job: Job = { task, firstLsn, resolve, reject, failure: undefined };
      // Piscina would start new threads.
      if (this.#closed) return reject(closedError(job));
      this.#waiting.push(job);
      this.#submit();
    });
  }

  /** Ends the workers; batches that are not decoded yet are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of [...this.#waiting.splice(0), ...this.#suspects.splice(0)]) job.reject(closedError(job));
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  /** Suspects run alone; nothing else starts before they are through. */
  #submit(): void {
    if (this.#quarantined) return;
    if (this.#suspects.length > 0) {
      const [thread] = this.#threads;
      if (this.#running > 0 || thread === undefined) return;
      const suspect = this.#suspects.shift();
      if (suspect === undefined) return;
      this.#quarantined = true;
      void this.#run(suspect, thread);
      return;
    }
    while (this.#waiting.length > 0) {
      const thread = this.#threads.reduce((least, other) => (other.load < least.load ? other : least));
      if (thread.load >= BATCHES_PER_THREAD) return;
      const job = this.#waiting.shift();
      if (job !== undefined) void this.#run(job, thread);
    }
  }

  async #run(job: Job, thread: DecodeThread): Promise<void> {
    this.#running++;
    try {
      const reply = await thread.decode(job.task);
      if (reply.transformFailure === undefined) {
        this.#busyMs += reply.busyMs;
        this.#batches++;
        job.resolve({
          index: reply.index,
          data: reply.data,
          error: reply.error === undefined ? undefined : decodeError(reply.error),
          mismatchedTypes: reply.mismatchedTypes,
          invalidRows: reply.invalidRows,
        });
      } else {
        this.#failed(job, reply.transformFailure, reply);
      }
    } catch (end) {
      const { failure, atFault } = end as ThreadEnd;
      if (atFault || this.#closed) this.#failed(job, failure);
      else this.#again(job);
    } finally {
      this.#running--;
      if (this.#running === 0) this.#quarantined = false;
      this.#submit();
    }
  }

  /** It was none of its fault. */
  #again(job: Job): void {
    this.#restarts++;
    this.#waiting.unshift(job);
  }

  #failed(job: Job, failure: unknown, reply?: DecodeReply): void {
    if (this.#closed) {
      job.reject(closedError(job));
      return;
    }
    const attempt = job.failure === undefined ? 1 : 2;
    const error = reply?.transformFailure === undefined ? failure : decodeError(reply.transformFailure.error);
    this.#onFailure?.({ sequence: job.task.sequence, lsn: job.firstLsn, attempt, error });
    if (job.failure === undefined) {
      job.failure = failure;
      this.#restarts++;
      this.#suspects.push(job);
    } else if (reply?.transformFailure !== undefined) {
      const { index, data, mismatchedTypes, invalidRows } = reply;
      job.resolve({ index, data, error: transformError(job, reply.transformFailure), mismatchedTypes, invalidRows });
    } else {
      job.reject(threadError(job, failure));
    }
  }
}

function closedError(job: Job): WorkerError {
  return new WorkerError('the decode pool was closed', { sequence: job.task.sequence, lsn: job.firstLsn });
}

function transformError({ task }: Job, { by, error, lsn, relation, ordinal }: TransformFailure): WorkerError {
  const change = ordinal === undefined ? '' : `, change ${ordinal} of its transaction`;
  const place = relation === undefined ? '' : ` on a change of ${relation}${change}${placeAt(lsn)}`;
  return new WorkerError(`the ${by} failed twice${place}`, {
    sequence: task.sequence,
    lsn,
    relation,
    ordinal,
    cause: decodeError(error),
  });
}

function threadError(job: Job, failure: unknown): WorkerError {
  return new WorkerError(`a worker thread ${describe(failure)}, twice on the same batch${placeAt(job.firstLsn)}`, {
    sequence: job.task.sequence,
    lsn: job.firstLsn,
    exitCode: exitCodeOf(failure),
    cause: failure,
  });
}

function placeAt(lsn: bigint | undefined): string {
  return lsn === undefined ? '' : ` at ${Lsn.format(lsn)}`;
}

/** What happened to the worker. The text of a user's error is not ours to pass on: it may hold row values. */
function describe(failure: unknown): string {
  if (failure instanceof NoAnswer) return `gave ${failure.message}`;
  const exitCode = exitCodeOf(failure);
  if (exitCode !== undefined) return `exited with code ${exitCode}`;
  const code = failure instanceof Error && 'code' in failure ? failure.code : undefined;
  return code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'ran out of memory' : 'failed';
}

function exitCodeOf(error: unknown): number | undefined {
  const match = /exit(?:ed)? with code:? (\d+)|exit code:? (\d+)/i.exec(error instanceof Error ? error.message : '');
  return match === null ? undefined : Number(match[1] ?? match[2]);
}
