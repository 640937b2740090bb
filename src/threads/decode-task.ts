import type { OpenTransaction } from '../pgoutput/transaction-context.js';
import type { RelationSource, StretchFacts } from '../pgoutput/transcoder.js';
import type { TypeRulesSource } from '../types/type-options.js';
import type { EncodedError } from './error-codec.js';

/** What the workers of a decode pool are told once, when they start. */
export interface DecodeWorkerData {
  readonly types: TypeRulesSource;
  readonly transform: TransformSource | undefined;
  readonly validate?: ValidateSource | undefined;
  /** One word of shared memory: the number of the run that the thread began last. */
  readonly started: Int32Array;
}

/** What is wrong with a user's module. */
export interface ModuleProblem {
  readonly message: string;
  readonly option: string;
}

/** A user's function to run on changes in the workers. */
export interface TransformSource {
  /** URL of the module. */
  readonly moduleUrl: string;
  readonly exportName: string;
  readonly per: 'change' | 'batch';
  /** Passed to the function; structured-cloneable. */
  readonly options: unknown;
}

/** A user's validators to run on new rows in the workers, before any transform. */
export interface ValidateSource {
  /** URL of the module. */
  readonly moduleUrl: string;
  readonly exportName: string;
  readonly onInvalid: 'fail' | 'drop';
}

/** A stretch of the stream to decode. Its bytes are in shared memory: nothing is copied on the way there. */
export interface DecodeTask {
  readonly sequence: number;
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly end: number;
  readonly relations: readonly RelationSource[];
  readonly facts: StretchFacts;
  /** The transaction that the stretch begins in, and how many of its changes came before. */
  readonly transaction: OpenTransaction | undefined;
  readonly ordinal: number;
  /** Whether nothing better is known of composite types whose values are of another form. */
  readonly typesAreFinal: boolean;
}

/** A stretch that a thread is to decode when its turn comes. */
export interface ThreadTask {
  readonly run: number;
  readonly task: DecodeTask;
}

/** A row that was dropped because it is not what its validator says. */
export interface InvalidRow {
  readonly lsn: bigint;
  /** `schema.table`. */
  readonly relation: string;
  readonly ordinal: number | undefined;
  /** As in ValidationError. */
  readonly paths: readonly string[];
}

/** The rows of a batch that were dropped: all are counted, some described. */
export interface InvalidRows {
  readonly count: number;
  readonly described: readonly InvalidRow[];
}

/** What a transform or validator threw on: a change, or the first one of a batch that it was given whole. */
export interface TransformFailure {
  readonly by: 'transform' | 'validator';
  readonly error: EncodedError;
  readonly lsn: bigint | undefined;
  readonly relation: string | undefined;
  readonly ordinal: number | undefined;
}

/** Packed events, transferred back. */
export interface DecodeReply {
  readonly index: Uint32Array;
  readonly data: Uint8Array;
  /** What stopped the decoding after the last event. */
  readonly error: EncodedError | undefined;
  /** What stopped the transform or a validator, before that, after the last event. */
  readonly transformFailure: TransformFailure | undefined;
  readonly invalidRows?: InvalidRows | undefined;
  /** Composite types whose values have other fields than `relations` says; then there are no events, unless that is final. */
  readonly mismatchedTypes: readonly number[];
  /** Time that the worker spent on it. */
  readonly busyMs: number;
}
