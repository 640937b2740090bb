import { ConfigurationError } from '../errors.js';
import { type ModuleSource, type TypeRulesSource, typeRulesOf } from '../types/type-options.js';
import type { TypeRules } from '../types/type-rules.js';
import { importUserModule } from './user-module.js';
import { packValue, unpackValue } from './value-codec.js';

/** Sources of the modules that rules call. */
export function moduleSources({ overrides }: TypeRulesSource): ModuleSource[] {
  return overrides
    .map(([, source]) => source)
    .filter((source): source is ModuleSource => {
      return typeof source === 'object' && source.kind === 'module';
    });
}

/** Rules for a worker; {@link ConfigurationError} when a user's module is missing, fails or exports no such function. */
export async function loadTypeRules(source: TypeRulesSource): Promise<TypeRules> {
  const packers = new Map<ModuleSource, (text: string) => Uint8Array>();
  for (const module of moduleSources(source)) packers.set(module, await loadPacker(module, keyOf(source, module)));
  return typeRulesOf(source, packers, { functions: [], unpack });
}

/** Rules for the thread of the stream, which calls no modules. */
export function readerRules(source: TypeRulesSource, functions: readonly ((text: string) => unknown)[]): TypeRules {
  return typeRulesOf(source, new Map(), { functions, unpack });
}

function unpack(packed: Buffer): unknown {
  return unpackValue(packed, 0, packed.length);
}

async function loadPacker({ moduleUrl, exportName }: ModuleSource, key: string): Promise<(text: string) => Uint8Array> {
  const option = `types.overrides.${key}.module`;
  const module = await importUserModule(moduleUrl, `the module ${moduleUrl} of ${option}`, option);
  const parse = module[exportName];
  if (typeof parse !== 'function') {
    const option = `types.overrides.${key}.export`;
    throw new ConfigurationError(`the module ${moduleUrl} has no function '${exportName}'`, { option });
  }
  return (text) => {
    const value: unknown = parse(text);
    if (value instanceof Promise) throw new TypeError('a parser of a type must not be async');
    return packValue(value);
  };
}

function keyOf({ overrides }: TypeRulesSource, module: ModuleSource): string {
  return overrides.find(([, source]) => source === module)?.[0] ?? '';
}
