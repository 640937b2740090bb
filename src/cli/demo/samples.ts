import type { WalEvent } from '../../index.js';
import type { Palette } from '../palette.js';
import { prettyEvent } from '../pretty-event.js';

const KINDS: ReadonlySet<WalEvent['kind']> = new Set([
  'begin',
  'insert',
  'update',
  'delete',
  'truncate',
  'message',
  'commit',
]);

/** The first event of each kind, as text. */
export class Samples {
  readonly #left = new Set(KINDS);
  readonly #palette: Palette;

  constructor(palette: Palette) {
    this.#palette = palette;
  }

  /** Nothing more is looked for. */
  get complete(): boolean {
    return this.#left.size === 0;
  }

  take(event: WalEvent): string | undefined {
    return this.#left.delete(event.kind) ? prettyEvent(event, this.#palette) : undefined;
  }
}
