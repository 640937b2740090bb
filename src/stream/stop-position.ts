/** What to do with a message when the stream is to end at a position. */
export type StopVerdict = 'go-on' | 'stop-before' | 'stop-after';

/**
 * A transaction that begins: it is delivered when it was committed before `stopLsn` or crosses it, that is when its
 * first change, at `walStart`, lies before.
 */
export function judgeBegin(walStart: bigint, commitLsn: bigint, stopLsn: bigint): StopVerdict {
  return commitLsn >= stopLsn && walStart >= stopLsn ? 'stop-before' : 'go-on';
}

/** A transaction that ends at `commitEndLsn`: the one that reaches `stopLsn` is the last. */
export function judgeCommit(commitEndLsn: bigint, stopLsn: bigint): StopVerdict {
  return commitEndLsn >= stopLsn ? 'stop-after' : 'go-on';
}

/** A message that stands alone and ends at `lsn`. */
export function judgeMessage(lsn: bigint, stopLsn: bigint): StopVerdict {
  if (lsn > stopLsn) return 'stop-before';
  return lsn === stopLsn ? 'stop-after' : 'go-on';
}

/** A keepalive: everything before `serverWalEnd` has been sent. */
export function judgeKeepalive(serverWalEnd: bigint, inTransaction: boolean, stopLsn: bigint): StopVerdict {
  return !inTransaction && serverWalEnd >= stopLsn ? 'stop-after' : 'go-on';
}
