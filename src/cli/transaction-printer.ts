import { type ChangeEvent, Lsn, type PreparedTransaction, type Transaction, type TransactionItem } from '../index.js';
import type { PrinterOptions } from './event-printer.js';
import { type Palette, paletteFor } from './palette.js';
import { prettyEvent, prettyTransactionEnd, prettyTransactionStart } from './pretty-event.js';
import { TableFilter } from './table-filter.js';

/** Takes text and resolves when the system has it. */
export type Write = (text: string) => Promise<void>;

/** Text of a transaction that is put together before it is written. */
const PIECE_CHARACTERS = 64 * 1024;

/**
 * Writes whole transactions: one line of JSON each, or a line for each change between two others. Piece by piece, each
 * once the one before is written, however large the transaction is.
 */
export class TransactionPrinter {
  readonly #format: PrinterOptions['format'];
  readonly #palette: Palette;
  readonly #filter: TableFilter | undefined;
  #left: number;

  /** `maxEvents` counts transactions, and what else comes between them. */
  constructor({ format, tables, maxEvents, palette = paletteFor({}) }: PrinterOptions) {
    this.#format = format;
    this.#palette = palette;
    this.#filter = tables.length === 0 ? undefined : new TableFilter(tables);
    this.#left = maxEvents;
  }

  /** The last item was reached. */
  get full(): boolean {
    return this.#left <= 0;
  }

  /** Resolves when all of it is written, or when it was found that nothing of it is to be shown. */
  async print(item: TransactionItem, write: Write): Promise<void> {
    const isShown =
      item.kind === 'transaction' || item.kind === 'prepared'
        ? await this.#printChanges(item, write)
        : await this.#printEvent(item, write);
    if (isShown) this.#left--;
  }

  async #printEvent(event: Exclude<TransactionItem, Transaction | PreparedTransaction>, write: Write) {
    if (event.kind === 'message' && this.#filter !== undefined) return false;
    await write(`${this.#format === 'jsonl' ? JSON.stringify(event) : prettyEvent(event, this.#palette)}\n`);
    return true;
  }

  /** With a filter a transaction begins with the first change that is shown; without one there. */
  async #printChanges(transaction: Transaction | PreparedTransaction, write: Write): Promise<boolean> {
    const isJson = this.#format === 'jsonl';
    let text = '';
    let count = 0;
    for await (const change of transaction.changes) {
      if (this.#filter?.has(change) === false) continue;
      text += count === 0 ? this.#start(transaction) : isJson ? ',' : '';
      text += this.#change(change);
      count++;
      if (text.length < PIECE_CHARACTERS) continue;
      await write(text);
      text = '';
    }
    if (count === 0) {
      if (this.#filter !== undefined) return false;
      text = this.#start(transaction);
    }
    await write(`${text}${isJson ? ']}' : prettyTransactionEnd(transaction, this.#palette)}\n`);
    return true;
  }

  #change(change: ChangeEvent): string {
    return this.#format === 'jsonl' ? JSON.stringify(change) : `${prettyEvent(change, this.#palette)}\n`;
  }

  #start(transaction: Transaction | PreparedTransaction): string {
    if (this.#format === 'jsonl') return `${JSON.stringify(headOf(transaction)).slice(0, -1)},"changes":[`;
    return `${prettyTransactionStart(transaction, this.#palette)}\n`;
  }
}

/** The JSON form of a transaction, without its changes, of which there may be too many. */
function headOf(transaction: Transaction | PreparedTransaction): Record<string, unknown> {
  const { kind, xid, origin } = transaction;
  const from = origin && { origin: { name: origin.name, originLsn: Lsn.format(origin.originLsn) } };
  if (transaction.kind === 'transaction') {
    const { commitLsn, commitEndLsn, commitTime } = transaction;
    return { kind, xid, commitLsn: Lsn.format(commitLsn), commitEndLsn: Lsn.format(commitEndLsn), commitTime, ...from };
  }
  const { gid, prepareLsn, prepareEndLsn, prepareTime } = transaction;
  return {
    kind,
    gid,
    xid,
    prepareLsn: Lsn.format(prepareLsn),
    prepareEndLsn: Lsn.format(prepareEndLsn),
    prepareTime,
    ...from,
  };
}
