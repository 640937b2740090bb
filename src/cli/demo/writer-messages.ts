/** What the demo and the process of its writers say to each other. */

/** The demo's orders. */
export type WriterCommand =
  | { readonly kind: 'set-up'; readonly server: WriterServer; readonly writers: number; readonly publication: string }
  | { readonly kind: 'write'; readonly changesPerSecond: number; readonly slot: string }
  | { readonly kind: 'stop' };

export interface WriterServer {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

/** What the writers answer. */
export type WriterReport =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'done';
      /** Rows that each writer has inserted and numbered, by writer. */
      readonly lastSequences: readonly number[];
    }
  | { readonly kind: 'failed'; readonly message: string };

/** Prefix of the demo's logical messages. */
export const DEMO_PREFIX = 'demo';
/** Content of the last one: the writers have written everything. */
export const END_OF_DEMO = 'that was all';
