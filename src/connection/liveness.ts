/** What is known of a connection when its life is judged. */
export interface LivenessFacts {
  /** Milliseconds since bytes last arrived, without the time in which nothing was read on purpose. */
  readonly silentMs: number;
  readonly timeoutMs: number;
  /** Whether a reply was asked for since bytes last arrived. */
  readonly replyRequested: boolean;
}

export type LivenessVerdict = 'alive' | 'ask' | 'lost';

/** A server that says nothing is asked for a reply at half of the time, and lost when the time is up. */
export function judgeLiveness(facts: LivenessFacts): LivenessVerdict {
  if (facts.silentMs >= facts.timeoutMs) return 'lost';
  return facts.silentMs >= facts.timeoutMs / 2 && !facts.replyRequested ? 'ask' : 'alive';
}

/**
 * Of the time since the last check, the part in which this thread heard nothing because it was blocked: the check itself
 * came late then, and what the server said meanwhile is still to be read.
 */
export function deafMs(sinceLastCheckMs: number, checkIntervalMs: number): number {
  return sinceLastCheckMs > 2 * checkIntervalMs ? sinceLastCheckMs - checkIntervalMs : 0;
}
