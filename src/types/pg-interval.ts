/** An interval with `types: 'pg'`: parts that are 0 are left out. */
export interface PgInterval {
  readonly years?: number;
  readonly months?: number;
  readonly days?: number;
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly milliseconds?: number;
  toPostgres(): string;
  toISOString(): string;
}
