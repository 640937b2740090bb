/** What the doctor says of one thing that it looked at. */
export interface Diagnosis {
  /** `problem`: a stream cannot work. `warning`: it can, and there will be trouble, or may be. */
  readonly status: 'ok' | 'warning' | 'problem';
  /** A name that stays, such as `wal-level`. */
  readonly check: string;
  readonly message: string;
  /** The statement or step that mends it, where there is one. */
  readonly remedy?: string;
}
