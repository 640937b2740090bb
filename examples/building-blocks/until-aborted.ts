/**
 * The items until the signal is aborted. Leaving a loop over a stream closes the stream; leaving a loop over this does
 * not, so that what was taken can still be finished with and acknowledged. `stream.stop()` closes it then.
 */
export async function* untilAborted<T>(items: AsyncIterator<T>, signal: AbortSignal): AsyncGenerator<T, void> {
  while (!signal.aborted) {
    const step = await orAborted(items.next(), signal);
    if (step === undefined || step.done) return;
    yield step.value;
  }
}

/** What the promise gives, or `undefined` when the signal is aborted first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = () => signal.removeEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(settle);
  });
}
