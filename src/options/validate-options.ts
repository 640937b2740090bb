import { oneOf, plainObject, refuseUnknown } from '../errors/option-checks.js';
import type { ValidateSource } from '../threads/decode-task.js';
import { exportNameFrom, moduleUrlFrom } from './worker-module.js';

/**
 * Validators of the user's, which run in the workers on the new rows of inserts and updates. Any that follow Standard
 * Schema: zod, valibot, arktype and others.
 *
 * Rows are checked as the stream gives them, before any transform, and are delivered as they are: what a schema makes of
 * them is not used. What it says of a column that an update left out (UNCHANGED) does not count nor, in such a row,
 * what it says of the row as a whole.
 *
 * @see https://standardschema.dev
 */
export interface ValidateOptions {
  /** URL or absolute path of a module with an object of schemas by 'schema.table'. Other tables are not checked. */
  readonly module: string | URL;
  /** Name of the export; default `default`. */
  readonly export?: string;
  /**
   * What becomes of a row that is not valid. `fail` (default): a ValidationError ends the stream, after everything before
   * that change; nothing from there on is acknowledged. `drop`: the change is not delivered, like one that a transform
   * drops; `stats().invalidRows` counts it and `pg-walstream:invalid-row` names it.
   */
  readonly onInvalid?: 'fail' | 'drop';
}

const KNOWN_VALIDATE_OPTIONS = new Set(['module', 'export', 'onInvalid']);

export function validateFrom(validate: ValidateOptions | undefined): ValidateSource | undefined {
  if (validate === undefined) return undefined;
  plainObject(validate, 'validate', 'an object with a module');
  refuseUnknown(validate, KNOWN_VALIDATE_OPTIONS, 'validate.');
  return {
    exportName: exportNameFrom(validate.export, 'validate.export', 'an export'),
    moduleUrl: moduleUrlFrom(validate.module, 'validate.module'),
    onInvalid: oneOf(validate.onInvalid, 'validate.onInvalid', ['fail', 'drop'] as const, 'fail'),
  };
}
