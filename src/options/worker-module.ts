import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { wrong } from '../errors/option-checks.js';

/** What a worker can import by URL: nothing is loaded over a network. */
const IMPORTABLE = /^(file|data|node):/;

/** A module of the user's, as the URL by which workers import it. */
export function moduleUrlFrom(module: string | URL, option: string): string {
  const given = module instanceof URL ? module.href : module;
  if (typeof given === 'string') {
    if (IMPORTABLE.test(given)) return given;
    // Workers have no folder of the caller's to begin a relative path in.
    if (isAbsolute(given)) return pathToFileURL(given).href;
  }
  throw wrong(option, 'must be a file:, data: or node: URL, or an absolute path');
}

/** Which of its exports is meant. */
export function exportNameFrom(name: string | undefined, option: string, what: string): string {
  if (name === undefined) return 'default';
  if (typeof name !== 'string' || name === '') throw wrong(option, `must be the name of ${what}`);
  return name;
}
