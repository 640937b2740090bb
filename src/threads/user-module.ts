import { ConfigurationError } from '../errors.js';

/**
 * What a module of the user's exports.
 *
 * @param name how errors call the module
 * @throws ConfigurationError of `option` when it is missing or fails
 */
export async function importUserModule(url: string, name: string, option: string): Promise<Record<string, unknown>> {
  try {
    return await import(url);
  } catch (cause) {
    throw new ConfigurationError(`${name} cannot be loaded`, { option, cause });
  }
}
