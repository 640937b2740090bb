/**
 * What validators of many libraries have in common; zod, valibot and arktype among them.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchema {
  /** What the library gives: `validate` is all that is used of it. */
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult | Promise<StandardResult>;
  };
}

/** `issues`: what is wrong. Without them the value is valid; what the validator made of it is not used. */
export interface StandardResult {
  /** Absent when the value is valid. */
  readonly issues?: readonly StandardIssue[] | undefined;
}

/** One thing that a validator finds wrong. */
export interface StandardIssue {
  /** The library's: it may hold values, and goes nowhere from here. */
  readonly message: string;
  /** Keys from the row to the value at fault; absent when it is the row as a whole. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Schemas may be objects, classes and functions. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard: unknown = Reflect.get(value, '~standard');
  if (typeof standard !== 'object' || standard === null) return false;
  return Reflect.get(standard, 'version') === 1 && typeof Reflect.get(standard, 'validate') === 'function';
}
