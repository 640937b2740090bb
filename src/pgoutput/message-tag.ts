/**
 * First byte of a pgoutput message.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export const MessageTag = {
  begin: 0x42, // B
  commit: 0x43, // C
  origin: 0x4f, // O
  relation: 0x52, // R
  type: 0x59, // Y
  insert: 0x49, // I
  update: 0x55, // U
  delete: 0x44, // D
  truncate: 0x54, // T
  message: 0x4d, // M

  /* Protocol 2. A PostgreSQL 18 server can send Stream Abort in protocol 1 too, without a streamed transaction. */
  streamStart: 0x53, // S
  streamStop: 0x45, // E
  streamCommit: 0x63, // c
  streamAbort: 0x41, // A

  /* Protocol 3. A two-phase slot sends them in every protocol. */
  beginPrepare: 0x62, // b
  prepare: 0x50, // P
  commitPrepared: 0x4b, // K
  rollbackPrepared: 0x72, // r
  streamPrepare: 0x70, // p
} as const;

/** What precedes a tuple in Update and Delete. */
export const TupleTag = {
  key: 0x4b, // K
  old: 0x4f, // O
  new: 0x4e, // N
} as const;

/** Kind of a column's value in TupleData. */
export const ColumnTag = {
  null: 0x6e, // n
  unchangedToast: 0x75, // u
  text: 0x74, // t
  binary: 0x62, // b
} as const;
