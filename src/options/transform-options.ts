import { oneOf, plainObject, refuseUnknown } from '../errors/option-checks.js';
import { ConfigurationError } from '../errors.js';
import type { TransformSource } from '../threads/decode-task.js';
import { exportNameFrom, moduleUrlFrom } from './worker-module.js';

/** A function of the user's that runs in the workers. */
export interface TransformOptions {
  /** URL or absolute path of the module. */
  readonly module: string | URL;
  /** Name of the exported function; default `default`. */
  readonly export?: string;
  /** `change` (default): called with each row event. `batch`: with the row events of a batch, returns as many values. */
  readonly per?: 'change' | 'batch';
  /** Given to the function as its second argument; must be structured-cloneable. */
  readonly options?: unknown;
}

const KNOWN_TRANSFORM_OPTIONS = new Set(['module', 'export', 'per', 'options']);

export function transformFrom(transform: TransformOptions | undefined): TransformSource | undefined {
  if (transform === undefined) return undefined;
  plainObject(transform, 'transform', 'an object with a module');
  refuseUnknown(transform, KNOWN_TRANSFORM_OPTIONS, 'transform.');
  return {
    exportName: exportNameFrom(transform.export, 'transform.export', 'a function'),
    moduleUrl: moduleUrlFrom(transform.module, 'transform.module'),
    per: oneOf(transform.per, 'transform.per', ['change', 'batch'] as const, 'change'),
    options: cloneable(transform.options, 'transform.options'),
  };
}

function cloneable(value: unknown, option: string): unknown {
  try {
    return structuredClone(value);
  } catch (cause) {
    throw new ConfigurationError(`${option} cannot be cloned for the workers`, { option, cause });
  }
}
