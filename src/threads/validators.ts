import { ConfigurationError } from '../errors.js';
import type { ValidateSource } from './decode-task.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';
import { importUserModule } from './user-module.js';

/** Schemas by 'schema.table'. */
export type Validators = ReadonlyMap<string, StandardSchema>;

/** Loads the user's module; {@link ConfigurationError} when it is missing, fails or exports something else. */
export async function loadValidators({ moduleUrl, exportName }: ValidateSource): Promise<Validators> {
  const title = `the module of validators ${moduleUrl}`;
  const module = await importUserModule(moduleUrl, title, 'validate.module');
  const exported = module[exportName];
  if (typeof exported !== 'object' || exported === null || isStandardSchema(exported)) {
    throw wrong(`${title} has no object '${exportName}' of schemas by 'schema.table'`);
  }
  const validators = new Map<string, StandardSchema>();
  for (const [name, schema] of Object.entries(exported)) {
    if (!/^[^.]+\../.test(name)) throw wrong(`${JSON.stringify(name)} in ${moduleUrl} is not 'schema.table'`);
    if (!isStandardSchema(schema)) throw wrong(`${JSON.stringify(name)} in ${moduleUrl} is no Standard Schema`);
    validators.set(name, schema);
  }
  return validators;
}

function wrong(message: string): ConfigurationError {
  return new ConfigurationError(message, { option: 'validate.export' });
}
