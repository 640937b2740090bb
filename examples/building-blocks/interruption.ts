/*
 * Ctrl+C, SIGTERM and an output that nobody reads any more, as in `| head`, end an example in good order. To be imported
 * first: then that holds while things are being started too.
 */
const controller = new AbortController();

/** Aborted when the example is to end. */
export const interruption: AbortSignal = controller.signal;

const interrupt = () => controller.abort(new Error('interrupted'));
process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
for (const output of [process.stdout, process.stderr]) {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    interrupt();
  });
}

/** Does it when the example is to end; at once when that is so already. */
export function whenInterrupted(end: () => void): void {
  if (interruption.aborted) end();
  else interruption.addEventListener('abort', end, { once: true });
}
