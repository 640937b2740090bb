import type { Writable } from 'node:stream';

/** Whoever read our output has gone, as in `pg-walstream stream ... | head`. */
export class OutputClosedError extends Error {
  constructor() {
    super('nobody reads the output');
  }
}

/** Text for a pipe, a file or a terminal; what was written is written, and a slow reader slows the writer down. */
export class Output {
  readonly #stream: Writable;
  #failure: Error | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    // Without a listener it would end the process.
    stream.on('error', (error) => {
      this.#failure ??= failureFrom(error);
    });
  }

  /** The reader has gone. */
  get closed(): boolean {
    return this.#failure instanceof OutputClosedError;
  }

  /**
   * Resolves when the system has taken the text, however long its reader takes.
   *
   * @throws OutputClosedError when nobody reads any more; the signal's reason when it is aborted first
   */
  write(text: string, signal?: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#stream.write(text, (error) => {
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(failureFrom(error));
        else resolve();
      });
    });
  }
}

function failureFrom(error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return new OutputClosedError();
  return new Error(`the output cannot be written: ${error.message}`, { cause: error });
}
