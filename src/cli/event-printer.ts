import type { AcknowledgeableEvent, WalEvent } from '../index.js';
import { type Palette, paletteFor } from './palette.js';
import { prettyEvent } from './pretty-event.js';
import { TableFilter } from './table-filter.js';
import type { TableName } from './table-name.js';

export type OutputFormat = 'pretty' | 'jsonl';

export interface PrinterOptions {
  readonly format: OutputFormat;
  /** None: everything is shown. */
  readonly tables: readonly TableName[];
  /** Lines after which nothing more is shown. */
  readonly maxEvents: number;
  readonly palette?: Palette;
}

/** A batch as text, and what may be acknowledged once that is written. */
export interface PrintedBatch {
  readonly text: string;
  readonly acknowledge: readonly AcknowledgeableEvent[];
  /** The last line was reached. */
  readonly full: boolean;
}

/** Turns batches into lines. */
export class EventPrinter {
  readonly #format: (event: WalEvent) => string;
  readonly #filter: TableFilter | undefined;
  #left: number;

  constructor({ format, tables, maxEvents, palette = paletteFor({}) }: PrinterOptions) {
    this.#format = format === 'jsonl' ? (event) => JSON.stringify(event) : (event) => prettyEvent(event, palette);
    this.#filter = tables.length === 0 ? undefined : new TableFilter(tables);
    this.#left = maxEvents;
  }

  print(events: Iterable<WalEvent>): PrintedBatch {
    const acknowledge: AcknowledgeableEvent[] = [];
    let text = '';
    for (const event of events) {
      for (const shown of this.#filter?.take(event) ?? [event]) {
        text += `${this.#format(shown)}\n`;
        if (--this.#left === 0) {
          if (shown === event) noteUnit(acknowledge, event);
          return { text, acknowledge, full: true };
        }
      }
      noteUnit(acknowledge, event);
    }
    return { text, acknowledge, full: false };
  }
}

function noteUnit(units: AcknowledgeableEvent[], event: WalEvent): void {
  switch (event.kind) {
    case 'commit':
    case 'streamCommit':
    case 'prepare':
    case 'streamPrepare':
    case 'commitPrepared':
    case 'rollbackPrepared':
      units.push(event);
      break;
    case 'message':
      if (!event.transactional) units.push(event);
      break;
  }
}
