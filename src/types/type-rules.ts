import { builtinNameOf } from './oids.js';
import { builtinShapeOf, type TypeDescriptor } from './type-descriptor.js';

/**
 * What values become. `lossless`: the closest JavaScript value that loses nothing. `pg`: what node-postgres gives.
 * `text`: the server's text.
 */
export type TypesMode = 'lossless' | 'pg' | 'text';

/** What values of one type become. */
export type TypeRule =
  | TypesMode
  /** A function that is called with the server's text when the row is read; a number in the list of such functions. */
  | { readonly kind: 'function'; readonly index: number }
  /** A user's module, which the worker calls with the server's text; the value comes packed. */
  | { readonly kind: 'module'; readonly pack: (text: string) => Uint8Array };

/** How values are read that the worker has left to the reader of the row. */
export interface DeferredParsers {
  readonly functions: readonly ((text: string) => unknown)[];
  /** Unpacks what {@link TypeRule}'s `pack` has packed. */
  readonly unpack: (packed: Buffer) => unknown;
}

const NO_PARSERS: DeferredParsers = {
  functions: [],
  unpack: () => {
    throw new TypeError('nobody has said how packed values are read');
  },
};

/** The rules of one stream, by type: `overrides` are keyed by OID, `schema.name` or name. */
export class TypeRules {
  readonly mode: TypesMode;
  readonly parsers: DeferredParsers;
  /** Composite types of which values came with other fields than the present ones. Emptied by who reads it. */
  readonly mismatches = new Set<number>();
  readonly #overrides: ReadonlyMap<string, TypeRule>;

  constructor(
    mode: TypesMode,
    overrides: ReadonlyMap<string, TypeRule> = new Map(),
    parsers: DeferredParsers = NO_PARSERS,
  ) {
    this.mode = mode;
    this.parsers = parsers;
    this.#overrides = overrides;
  }

  /** Whether the catalog can make a difference. */
  get needCatalog(): boolean {
    return this.mode !== 'text' || this.#overrides.size > 0;
  }

  /** Whether any value is left to the reader of the row. */
  get defer(): boolean {
    return (
      this.mode === 'pg' || [...this.#overrides.values()].some((rule) => rule === 'pg' || typeof rule === 'object')
    );
  }

  /** Whether values go through a user's module. */
  get callModules(): boolean {
    return [...this.#overrides.values()].some((rule) => typeof rule === 'object' && rule.kind === 'module');
  }

  /** Whether values of a type may be left to the reader of the row; of types that are not built in, any may. */
  mayDefer(typeOid: number): boolean {
    if (!this.defer) return false;
    const shape = builtinShapeOf(typeOid);
    if (this.mode === 'pg' || builtinNameOf(typeOid) === undefined) return true;
    const override = this.overrideOf(typeOid, undefined);
    if (override !== undefined) return override !== 'lossless' && override !== 'text';
    if (shape?.kind === 'array') return this.mayDefer(shape.elementOid);
    if (shape?.kind === 'range') return this.mayDefer(shape.subtypeOid);
    return shape?.kind === 'multirange' && this.mayDefer(shape.rangeOid);
  }

  /** What was said about this very type; undefined when nothing was. */
  overrideOf(oid: number, descriptor: TypeDescriptor | undefined): TypeRule | undefined {
    if (this.#overrides.size === 0) return undefined;
    const schema = descriptor?.schema ?? 'pg_catalog';
    const name = descriptor?.name ?? builtinNameOf(oid);
    return (
      this.#overrides.get(String(oid)) ??
      (name === undefined ? undefined : (this.#overrides.get(`${schema}.${name}`) ?? this.#overrides.get(name)))
    );
  }
}

/** A mode stands for the rules without overrides. */
export function typeRulesFrom(types: TypesMode | TypeRules): TypeRules {
  return typeof types === 'string' ? new TypeRules(types) : types;
}
