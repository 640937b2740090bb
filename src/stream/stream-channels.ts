import { channel } from 'node:diagnostics_channel';
import type { ValidationError } from '../errors.js';

/** A connection streams: the first, or one in place of a lost one. */
export interface Connected {
  /** Name of the slot. */
  readonly slot: string;
  /** `host:port`, or the path of a Unix socket. */
  readonly host: string;
  /** Such as 180004. */
  readonly serverVersion: number;
  /** Of the cluster, as in IDENTIFY_SYSTEM. */
  readonly systemIdentifier: string;
  /** The one that the server is on. */
  readonly timeline: number;
  /** How far the slot was confirmed. */
  readonly lsn: bigint;
}

/** A connection was lost, or could not be made again, and will be tried again. */
export interface ConnectionLost {
  /** Name of the slot. */
  readonly slot: string;
  /** What ended the connection, or the attempt. */
  readonly error: unknown;
  /** The attempt that follows, counted from 1 since the stream last got on. */
  readonly attempt: number;
  /** The pause before that attempt. */
  readonly delayMs: number;
}

/** A lost connection was made again. */
export interface ConnectionResumed {
  /** Name of the slot. */
  readonly slot: string;
  /** Where the stream goes on. */
  readonly lsn: bigint;
}

/** The slot was not there, and was created as asked for. */
export interface SlotCreated {
  /** Name of the slot. */
  readonly slot: string;
  readonly action: 'created';
  /** The stream begins here. */
  readonly lsn: bigint;
  /** Gone with its connection. */
  readonly temporary: boolean;
}

/** A batch is decoded, and next for the consumer. */
export interface BatchDecoded {
  /** Name of the slot. */
  readonly slot: string;
  /** Number of the batch, in the order in which the server sent them. */
  readonly sequence: number;
  /** Bytes on the wire. */
  readonly byteCount: number;
  /** Row changes and truncates. */
  readonly changeCount: number;
}

/** The server is told that the stream is done with everything before a position. */
export interface Acknowledged {
  /** Name of the slot. */
  readonly slot: string;
  /** What the slot's confirmed_flush_lsn becomes. */
  readonly lsn: bigint;
}

/** A part of a transaction went to disk. */
export interface Spilled {
  /** Name of the slot. */
  readonly slot: string;
  /** The top-level transaction. */
  readonly xid: number;
  /** What there is of it on disk now. */
  readonly byteCount: number;
}

/** A worker, or the user's function in it, failed on a batch. */
export interface WorkerFailed {
  /** Name of the slot. */
  readonly slot: string;
  /** Number of the batch. */
  readonly sequence: number;
  /** Of the first message of the batch. */
  readonly lsn: bigint | undefined;
  /** 1: the batch is decoded again; 2: that ends the stream. */
  readonly attempt: 1 | 2;
  /** What was thrown: it may be a user's, and hold values. */
  readonly error: unknown;
}

/** A row was dropped because its validator refused it. Of one batch 20 are told, all are counted by `stats()`. */
export interface RowRefused extends Pick<ValidationError, 'lsn' | 'relation' | 'ordinal' | 'paths'> {
  /** Name of the slot. */
  readonly slot: string;
}

/** Something that does not keep the stream from working: what `stream.warnings` lists. */
export interface Warned {
  /** Name of the slot. */
  readonly slot: string;
  /** For people; with the statement that mends it, where one does. */
  readonly message: string;
}

/** The stream is over; `error` is what ended it, or `undefined`. */
export interface Ended {
  /** Name of the slot. */
  readonly slot: string;
  /** `undefined` after `stopLsn`, `stop()` or a loop that was left. */
  readonly error: unknown;
}

/** What streams tell those who listen, by `node:diagnostics_channel`: the messages by the channels' names. */
export interface StreamMessages {
  /** A connection streams. */
  readonly 'pg-walstream:connect': Connected;
  /** It was lost, or not made again, and will be tried again. */
  readonly 'pg-walstream:connection-lost': ConnectionLost;
  /** It was made again. */
  readonly 'pg-walstream:connection-resumed': ConnectionResumed;
  /** The slot was created. */
  readonly 'pg-walstream:slot': SlotCreated;
  /** A batch is decoded, and next for the consumer. */
  readonly 'pg-walstream:batch': BatchDecoded;
  /** The server is told a further position. */
  readonly 'pg-walstream:ack': Acknowledged;
  /** A part of a transaction went to disk. */
  readonly 'pg-walstream:spill': Spilled;
  /** A worker, or the user's function in it, failed. */
  readonly 'pg-walstream:worker-error': WorkerFailed;
  /** A validator refused a row, which is dropped. */
  readonly 'pg-walstream:invalid-row': RowRefused;
  /** Something that does not keep the stream from working. */
  readonly 'pg-walstream:warning': Warned;
  /** The stream is over. */
  readonly 'pg-walstream:end': Ended;
}

export const streamChannels = {
  connect: channel('pg-walstream:connect'),
  connectionLost: channel('pg-walstream:connection-lost'),
  connectionResumed: channel('pg-walstream:connection-resumed'),
  slot: channel('pg-walstream:slot'),
  batch: channel('pg-walstream:batch'),
  ack: channel('pg-walstream:ack'),
  spill: channel('pg-walstream:spill'),
  workerError: channel('pg-walstream:worker-error'),
  invalidRow: channel('pg-walstream:invalid-row'),
  warning: channel('pg-walstream:warning'),
  end: channel('pg-walstream:end'),
} as const;
