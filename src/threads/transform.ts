import { ConfigurationError } from '../errors.js';
import type { RowEvent } from '../pgoutput/event.js';
import type { AnyTables } from '../pgoutput/table-types.js';
import type { TransformSource } from './decode-task.js';
import { importUserModule } from './user-module.js';

/**
 * A user's function that runs in the workers on each row change: what it returns is delivered as `event.value`,
 * `undefined` drops the change. May be async.
 *
 * It leaves the worker as msgpack: null, booleans, numbers, bigints, strings, dates, bytes, arrays and plain objects of
 * these, and `UNCHANGED`. A Map arrives as an object, `-0` as 0, a key `__proto__` as `__proto_`; a function or a symbol
 * counts as a failure of the transform.
 */
export type ChangeTransform<Tables extends object = AnyTables> = (event: RowEvent<Tables>, options: unknown) => unknown;

/**
 * The same for the row changes of a whole batch: returns one value per event, in order; `undefined` drops the change.
 */
export type BatchTransform<Tables extends object = AnyTables> = (
  events: readonly RowEvent<Tables>[],
  options: unknown,
) => readonly unknown[] | Promise<readonly unknown[]>;

/** Loads the user's module; {@link ConfigurationError} when it is missing, fails or exports no such function. */
export async function loadTransform(source: TransformSource): Promise<ChangeTransform | BatchTransform> {
  const name = `the transform module ${source.moduleUrl}`;
  const module = await importUserModule(source.moduleUrl, name, 'transform.module');
  const exported = module[source.exportName];
  if (typeof exported !== 'function') {
    throw new ConfigurationError(`${name} has no function '${source.exportName}'`, { option: 'transform.export' });
  }
  return exported as ChangeTransform | BatchTransform;
}
