/*
 * A stream that is to end at `stopLsn` delivers everything committed (or prepared) before it and, when that comes next,
 * the transaction that crosses it. Transactions in progress that are streamed cannot be told to cross it before they
 * commit: their blocks come until something else has passed the position, a commit, a transaction or streamed
 * transaction that began beyond it, or a keepalive. What came of them without a Stream Commit is not committed.
 */

/** What to do with a message when the stream is to end at a position. */
export type StopVerdict = 'go-on' | 'stop-before' | 'stop-after';

/**
 * A transaction that begins: it is delivered when it was committed before `stopLsn` or crosses it, that is when its
 * first change, at `walStart`, lies before. `commitLsn` is where it was prepared, for one that was; for one that is
 * streamed, which is still in progress, its first change. A Commit Prepared begins and ends with its record.
 */
export function judgeBegin(walStart: bigint, commitLsn: bigint, stopLsn: bigint): StopVerdict {
  return commitLsn >= stopLsn && walStart >= stopLsn ? 'stop-before' : 'go-on';
}

/** A transaction that ends at `commitEndLsn`, committed or prepared: the one that reaches `stopLsn` is the last. */
export function judgeCommit(commitEndLsn: bigint, stopLsn: bigint): StopVerdict {
  return commitEndLsn >= stopLsn ? 'stop-after' : 'go-on';
}

/** A message that stands alone and ends at `lsn`; a Rollback Prepared. */
export function judgeMessage(lsn: bigint, stopLsn: bigint): StopVerdict {
  if (lsn > stopLsn) return 'stop-before';
  return lsn === stopLsn ? 'stop-after' : 'go-on';
}

/** A keepalive: everything before `serverWalEnd` has been sent. Streamed transactions may go on for hours. */
export function judgeKeepalive(serverWalEnd: bigint, inTransaction: boolean, stopLsn: bigint): StopVerdict {
  return !inTransaction && serverWalEnd >= stopLsn ? 'stop-after' : 'go-on';
}
