/** An interval with `types: 'pg'`: parts that are 0 are left out. */
export interface PgInterval {
  /** Whole years. */
  readonly years?: number;
  /** Below 12. */
  readonly months?: number;
  /** Not carried into months: they differ in length. */
  readonly days?: number;
  /** Not carried into days. */
  readonly hours?: number;
  /** Below 60. */
  readonly minutes?: number;
  /** Whole seconds. */
  readonly seconds?: number;
  /** With the microseconds as a fraction. */
  readonly milliseconds?: number;
  /** As PostgreSQL reads it: `1 years 2 days`. */
  toPostgres(): string;
  /** As ISO 8601: `P1Y0M2DT0H0M0S`. */
  toISOString(): string;
}
