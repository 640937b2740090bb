import { pathToFileURL } from 'node:url';
import { wrong } from '../errors/option-checks.js';

/** A module of the user's, as the URL by which workers import it. */
export function moduleUrlFrom(module: string | URL, option: string): string {
  if (module instanceof URL) return module.href;
  if (typeof module !== 'string' || module === '') throw wrong(option, 'must be a URL or an absolute path');
  if (/^(file|data|node):/.test(module)) return module;
  return pathToFileURL(module).href;
}

/** Which of its exports is meant. */
export function exportNameFrom(name: string | undefined, option: string, what: string): string {
  if (name === undefined) return 'default';
  if (typeof name !== 'string' || name === '') throw wrong(option, `must be the name of ${what}`);
  return name;
}
