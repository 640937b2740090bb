import { ProtocolError } from '../errors.js';

/** Most rows and bytes that one result set of a simple query may have: queries here are small control queries. */
export const MAX_RESULT_ROWS = 100_000;
export const MAX_RESULT_BYTES = 64 * 1024 * 1024;

/** One result set. Values are the server's text. */
export interface QueryResult {
  /** Names, in order; two may be the same. */
  readonly columns: readonly string[];
  /** Values in the order of `columns`. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** Command tag, such as `SELECT 3`; empty for an empty statement. */
  readonly command: string;
}

/** Gathers the result sets of one simple query, which may hold several statements, within bounds. */
export class ResultCollector {
  readonly results: QueryResult[] = [];
  #columns: readonly string[] = [];
  #rows: (readonly (string | null)[])[] = [];
  #bytes = 0;

  describe(columns: readonly string[]): void {
    this.#columns = columns;
  }

  /** Throws {@link ProtocolError} beyond the bounds. */
  add(values: readonly (string | null)[], bytes: number): void {
    this.#bytes += bytes;
    if (this.#rows.length >= MAX_RESULT_ROWS || this.#bytes > MAX_RESULT_BYTES) {
      throw new ProtocolError(
        `a query gave more than ${MAX_RESULT_ROWS} rows or ${MAX_RESULT_BYTES} bytes, which is not meant for query()`,
        { offset: 0, tag: 'D' },
      );
    }
    this.#rows.push(values);
  }

  complete(command: string): void {
    if (this.results.length >= MAX_RESULT_ROWS) {
      throw new ProtocolError(`a query gave more than ${MAX_RESULT_ROWS} results`, { offset: 0, tag: 'C' });
    }
    this.results.push({ columns: this.#columns, rows: this.#rows, command });
    this.#columns = [];
    this.#rows = [];
    this.#bytes = 0;
  }
}
