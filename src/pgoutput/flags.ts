/** A message, or a part of one, that has a flags byte. */
export interface Flagged {
  /** Bits of the flags byte to which PostgreSQL has given no meaning yet; absent when none of them is set. */
  readonly flags?: number;
}

/** `message` with the flags that have no meaning yet, if there are any. */
export function withFlags<T extends object>(message: T, flags: number): T & Flagged {
  return flags === 0 ? message : { ...message, flags };
}
