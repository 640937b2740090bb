import { refuseUnknown, wrong } from '../errors/option-checks.js';
import { type DeferredParsers, type TypeRule, TypeRules, type TypesMode } from './type-rules.js';

/** A parser that runs in the workers. */
export interface TypeParserModule {
  /** URL or absolute path of the module. */
  readonly module: string | URL;
  /** Name of the exported function; default `default`. Given the server's text, it returns the value: no promise. */
  readonly export?: string;
}

/** What values of one type become: a mode, or what a function makes of the server's text. */
export type TypeOverride = TypesMode | ((text: string) => unknown) | TypeParserModule;

/** What column values become. See `WalStreamOptions.types`. */
export interface TypesOptions {
  /** Default: `lossless`. */
  readonly mode?: TypesMode;
  /**
   * By type: its OID, `schema.name` or name, as `pg_type` has it (`int8`, not `bigint`). The first of these that is there
   * counts. A domain without an override follows the one of its base type, an array that of its elements.
   *
   * A function is called on the thread of the stream, when the row is first read; a module's runs in the workers, and
   * what it returns must be made of plain objects, arrays, strings, numbers, bigints, booleans, null, dates and bytes.
   */
  readonly overrides?: Readonly<Record<string, TypeOverride>>;
}

/** An override in a form that crosses to the workers. */
export type OverrideSource = TypesMode | (TypeRule & { kind: 'function' }) | ModuleSource;

export interface ModuleSource {
  readonly kind: 'module';
  readonly moduleUrl: string;
  readonly exportName: string;
}

/** The rules of a stream as workers are told them. */
export interface TypeRulesSource {
  readonly mode: TypesMode;
  readonly overrides: readonly (readonly [key: string, source: OverrideSource])[];
}

export interface ResolvedTypes {
  readonly source: TypeRulesSource;
  readonly functions: readonly ((text: string) => unknown)[];
}

const MODES: readonly unknown[] = ['lossless', 'pg', 'text'] satisfies TypesMode[];
const MODES_LISTED = "'lossless', 'pg' or 'text'";

/** SQL's names of types that pg_type calls otherwise. */
const SQL_NAMES: Readonly<Record<string, string>> = {
  bigint: 'int8',
  integer: 'int4',
  int: 'int4',
  smallint: 'int2',
  boolean: 'bool',
  real: 'float4',
  float: 'float8',
  'double precision': 'float8',
  decimal: 'numeric',
  'character varying': 'varchar',
  character: 'bpchar',
  'bit varying': 'varbit',
  'timestamp with time zone': 'timestamptz',
  'timestamp without time zone': 'timestamp',
  'time with time zone': 'timetz',
  'time without time zone': 'time',
};

const KNOWN_OPTIONS = new Set(['mode', 'overrides']);
const KNOWN_MODULE_OPTIONS = new Set(['module', 'export']);

/** What the option `types` asks of the rest of the options. */
export interface TypesContext {
  readonly binary: boolean;
  /** Whether a transform or validators read the rows in the workers. */
  readonly workersReadRows: boolean;
  readonly moduleUrl: (module: string | URL, option: string) => string;
}

/** Checks and completes the option `types`; ConfigurationError names what is wrong. */
export function resolveTypes(types: TypesMode | TypesOptions | undefined, context: TypesContext): ResolvedTypes {
  const given: TypesOptions = typeof types === 'string' || types === undefined ? { mode: types } : types;
  if (typeof given !== 'object' || given === null) {
    throw wrong('types', `must be ${MODES_LISTED}, or an object with mode and overrides`);
  }
  refuseUnknown(given, KNOWN_OPTIONS, 'types.');
  const { mode = 'lossless' } = given;
  const modeOption = typeof types === 'object' ? 'types.mode' : 'types';
  if (!MODES.includes(mode)) throw wrong(modeOption, `must be ${MODES_LISTED}`);
  if (mode !== 'lossless' && context.binary) {
    throw wrong(modeOption, `'${mode}' needs text transfer: binary must be false`);
  }
  const overrides: unknown = given.overrides === undefined ? {} : given.overrides;
  if (typeof overrides !== 'object' || overrides === null || Array.isArray(overrides)) {
    throw wrong('types.overrides', 'must be an object keyed by types');
  }
  const functions: ((text: string) => unknown)[] = [];
  const sources = Object.entries(overrides).map(([key, override]): [string, OverrideSource] => {
    const option = `types.overrides.${key}`;
    checkKey(key, option);
    if (typeof override !== 'function') return [key, sourceFrom(override, option, context)];
    if (context.workersReadRows) {
      throw wrong(option, 'must be a module, not a function: transform and validate read the rows in the workers');
    }
    return [key, { kind: 'function', index: functions.push(override as (text: string) => unknown) - 1 }];
  });
  return { source: { mode, overrides: sources }, functions };
}

function checkKey(key: string, option: string): void {
  if (key === '' || key.includes('\0')) throw wrong(option, 'must name a type');
  if (/^\d+$/.test(key) && (Number(key) === 0 || Number(key) > 0xffff_ffff || key.startsWith('0'))) {
    throw wrong(option, 'is no OID of a type');
  }
  if (key.endsWith('[]')) throw wrong(option, `names an array: pg_type calls it _${key.slice(0, -2)}`);
  const name = Object.hasOwn(SQL_NAMES, key) ? SQL_NAMES[key] : undefined;
  if (name !== undefined) throw wrong(option, `is SQL's name: pg_type calls it ${name}`);
}

function sourceFrom(override: unknown, option: string, context: TypesContext): OverrideSource {
  if (MODES.includes(override)) return override as TypesMode;
  if (typeof override !== 'object' || override === null) {
    throw wrong(option, `must be ${MODES_LISTED}, a function, or an object with a module`);
  }
  refuseUnknown(override, KNOWN_MODULE_OPTIONS, `${option}.`);
  const { module, export: exportName = 'default' } = override as TypeParserModule;
  if (typeof exportName !== 'string' || exportName === '') {
    throw wrong(`${option}.export`, 'must be the name of a function');
  }
  return { kind: 'module', moduleUrl: context.moduleUrl(module, `${option}.module`), exportName };
}

/** The rules themselves. `packers` are the functions of modules, by their source. */
export function typeRulesOf(
  { mode, overrides }: TypeRulesSource,
  packers: ReadonlyMap<ModuleSource, (text: string) => Uint8Array>,
  parsers: DeferredParsers,
): TypeRules {
  const rules = overrides.map(([key, source]): [string, TypeRule] => {
    if (typeof source === 'string' || source.kind === 'function') return [key, source];
    return [key, { kind: 'module', pack: packers.get(source) ?? notLoaded }];
  });
  return new TypeRules(mode, new Map(rules), parsers);
}

function notLoaded(): never {
  throw new TypeError('modules of types are called in the workers only');
}
