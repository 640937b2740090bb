import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { DecodeReply, DecodeTask, DecodeWorkerData, ModuleProblem, ThreadTask } from './decode-task.js';
import { DECODE_WORKER_URL } from './worker-url.js';

/**
 * Batches that a thread is given at once: one that it decodes and one that it goes on with, without waiting for the main
 * thread to take the first one back.
 */
export const BATCHES_PER_THREAD = 2;

/** Room for new objects. V8's own bound is several times that: no faster here, and some 20 MB more. */
const YOUNG_HEAP_MB = 8;

export interface DecodeThreadOptions extends Omit<DecodeWorkerData, 'started'> {
  /** A batch that takes longer is taken away from its thread, which is ended. */
  readonly timeoutMs: number;
  /** Bound on its JavaScript heap, MiB. */
  readonly heapMb: number;
  /** Whether modules of the user's run in it. */
  readonly hasModules: boolean;
}

/** What became of a batch whose thread ended. */
export interface ThreadEnd {
  readonly failure: unknown;
  /** Whether the thread ended over this batch, and not over one that it had besides. */
  readonly atFault: boolean;
}

/** A batch that the thread has. */
interface Run {
  readonly number: number;
  atFault: boolean;
  timedOut: boolean;
}

/**
 * A thread that decodes batches one after the other; one that exits, fails or gives no answer is replaced. It is a Piscina of
 * its own: Piscina takes a task away from a thread only where that has no other, so a thread that hangs goes with its pool.
 */
export class DecodeThread {
  readonly #options: DecodeThreadOptions;
  /** Number of the run that was begun last. */
  readonly #started = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  #piscina: Piscina<ThreadTask, DecodeReply> | undefined;
  /** In the order in which the thread takes them. */
  readonly #runs: Run[] = [];
  #runNumber = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The ends of threads that were replaced. */
  #ending: Promise<unknown> = Promise.resolve();

  constructor(options: DecodeThreadOptions) {
    this.#options = options;
  }

  /** Batches that it has. */
  get load(): number {
    return this.#runs.length;
  }

  /** Unless it was before: an object that is only made costs no thread. */
  start(): Piscina<ThreadTask, DecodeReply> {
    this.#piscina ??= this.#create();
    return this.#piscina;
  }

  /** Loads the user's modules; gives up, and ends the thread, when `signal` says so. */
  prepare(signal: AbortSignal): Promise<ModuleProblem | undefined> {
    const piscina = this.start();
    const { run } = piscina as unknown as { run: (task: undefined, options: object) => Promise<ModuleProblem> };
    return run.call(piscina, undefined, { name: 'prepare', signal });
  }

  /** Decodes a batch after those that the thread has; rejects with {@link ThreadEnd}. */
  async decode(task: DecodeTask): Promise<DecodeReply> {
    this.#runNumber = (this.#runNumber + 1) | 0;
    const run: Run = { number: this.#runNumber, atFault: true, timedOut: false };
    this.#runs.push(run);
    if (this.#runs.length === 1) this.#limitTime();
    try {
      const reply = await this.start().run({ run: run.number, task });
      this.#finish(run);
      return reply;
    } catch (error) {
      this.#finish(run);
      const failure = run.timedOut ? new NoAnswer(this.#options.timeoutMs) : error;
      throw { failure, atFault: run.atFault } satisfies ThreadEnd;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all([this.#ending, this.#piscina?.destroy()]);
  }

  #create(): Piscina<ThreadTask, DecodeReply> {
    const { types, transform, validate, heapMb, hasModules } = this.#options;
    const workerData: DecodeWorkerData = { types, transform, validate, started: this.#started };
    const piscina = new Piscina<ThreadTask, DecodeReply>({
      filename: fileURLToPath(DECODE_WORKER_URL),
      name: 'decode',
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: BATCHES_PER_THREAD,
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
      // Piscina's default freezes a worker's event loop while it is idle: a user's module may need its timers.
      ...(hasModules ? { atomics: 'disabled' as const } : {}),
    });
    // Workers that die are reported by the tasks they had.
    piscina.on('error', () => {});
    // In the same turn as what rejects these tasks, so before anybody hears of that.
    piscina.on('workerDestroy', () => this.#blame());
    return piscina;
  }

  /**
   * The thread is gone: that is the fault of the batch that it began last, or would have begun. Batches leave when they are
   * rejected; one that had not reached the thread is not, and goes to the next one or is out of time.
   */
  #blame(): void {
    const last = Atomics.load(this.#started, 0);
    const runs = this.#runs;
    const culprit = runs.find(({ timedOut }) => timedOut) ?? runs.find(({ number }) => number === last) ?? runs[0];
    for (const run of runs) run.atFault = run === culprit;
  }

  #finish(run: Run): void {
    const at = this.#runs.indexOf(run);
    this.#runs.splice(at, 1);
    if (at > 0) return;
    clearTimeout(this.#timer);
    if (this.#runs.length > 0) this.#limitTime();
  }

  /**
   * For the first batch. Its time runs from when the answer to the one before came, or since it was given to a thread
   * that had none: never before the thread takes it up.
   */
  #limitTime(): void {
    this.#timer = setTimeout(() => this.#replace(), this.#options.timeoutMs);
  }

  #replace(): void {
    const [run] = this.#runs;
    if (run === undefined) return;
    run.timedOut = true;
    this.#ending = Promise.all([this.#ending, this.#piscina?.destroy()]);
    this.#piscina = this.#create();
  }
}

/** A thread that hangs, or is slower than the bound. */
export class NoAnswer extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}
