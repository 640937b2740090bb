import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { WorkerError } from '../errors.js';

/** Worker threads for tasks of one kind, which are independent of each other. */
export class TaskPool<Task, Reply> implements AsyncDisposable {
  readonly workers: number;
  readonly #pool: Piscina<Task, Reply>;
  #sequence = 0;

  constructor(workerUrl: URL, workers: number) {
    this.workers = workers;
    this.#pool = new Piscina<Task, Reply>({
      filename: fileURLToPath(workerUrl),
      name: 'run',
      minThreads: 1,
      maxThreads: workers,
      recordTiming: false,
    });
    // Workers that die are reported by the tasks they had.
    this.#pool.on('error', () => {});
  }

  /** {@link WorkerError} when the thread throws or is gone; the signal's reason when that comes first. */
  async run(task: Task, signal?: AbortSignal): Promise<Reply> {
    const sequence = this.#sequence++;
    signal?.throwIfAborted();
    try {
      return await this.#pool.run(task, signal === undefined ? {} : { signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new WorkerError('a worker thread failed', { sequence, cause });
    }
  }

  /** Ends the threads; tasks that are not done are rejected. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}
