import type pg from 'pg';
import type { Backlog, BacklogEnd } from './backlog.js';
import type { Report } from './report.js';
import type { ShapeName } from './row-shape.js';

export interface WrittenBacklog {
  readonly backlog: Backlog;
  readonly end: BacklogEnd;
}

/** What the parts of a run share. */
export interface BenchContext {
  readonly client: pg.Client;
  readonly connection: string;
  /** Written when first asked for. */
  readonly backlog: (shape: ShapeName) => Promise<WrittenBacklog>;
  readonly rounds: number;
  readonly rowCounts: Readonly<Record<ShapeName, number>>;
  /** Of the replay, which lasts too short otherwise. */
  readonly replayRowCounts: Readonly<Record<ShapeName, number>>;
  readonly workers: number | undefined;
  readonly report: Report;
  /** Tells the user what goes on. */
  readonly progress: (line: string) => void;
}
