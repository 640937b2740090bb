import { showPath } from './manifest.js';

/** Something that is wrong with a backup. */
export interface BackupProblem {
  /** As in the manifest, relative to the data directory; of an archive its name; `pg_wal` and below for WAL. */
  readonly path: string;
  /** What is wrong, for people: in the words of pg_verifybackup where it has them. */
  readonly problem: string;
}

/** Ends a verification: nothing more can be told, or nothing more is to be. */
export class VerificationOver extends Error {}

/** Gathers what is wrong. */
export class BackupProblems {
  readonly list: BackupProblem[] = [];
  readonly #exitOnError: boolean;

  constructor(exitOnError: boolean) {
    this.#exitOnError = exitOnError;
  }

  /** `path` in the manifest's form. Throws {@link VerificationOver} where one problem is enough. */
  add(path: string, problem: string): void {
    this.list.push({ path: showPath(path), problem });
    if (this.#exitOnError) throw new VerificationOver();
  }

  /** A problem after which the rest has no meaning. */
  fatal(path: string, problem: string): VerificationOver {
    this.list.push({ path: showPath(path), problem });
    return new VerificationOver();
  }
}
