import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { readTypes } from '../catalog/type-catalog.js';
import type { ConnectionConfig } from '../connection/connection-config.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { RelationVersion } from '../pgoutput/relation.js';
import { builtinNameOf } from '../types/oids.js';
import type { CompositeField, TypeDescriptor } from '../types/type-descriptor.js';
import type { TypeRules } from '../types/type-rules.js';

/** Bound on one look-up, connecting included: decoding waits for it. */
const LOOKUP_TIMEOUT_MS = 10_000;
/** After a look-up that failed, types stay unknown for so long before the next. */
const RETRY_AFTER_MS = 60_000;
/** After values were of no form that the catalog knows, they are taken as they are for so long. */
const SETTLED_MS = 1_000;
/** A type that is not there may not be visible yet: a commit is sent before other sessions see it. Looked for twice. */
const MISSING_RETRY_MS = 200;
/** Then asked for again, less and less often: a transaction that is streamed before it commits may have made it. */
const MISSING_MIN_DELAY_MS = 1_000;
const MISSING_MAX_DELAY_MS = 60_000;
const MAX_EARLIER_FIELDS = 8;
const MAX_WARNINGS = 20;

/**
 * What a stream knows of types that are not built in. Asked of the catalog when a relation with unknown ones is described,
 * over a session of its own that is closed again: a walsender keeps what its queries load of the catalog.
 */
export class StreamTypes {
  readonly rules: TypeRules;
  readonly #config: () => ConnectionConfig;
  readonly #timeoutMs: number;
  readonly #onWarning: (warning: string) => void;
  /** `null`: the catalog does not have it. */
  readonly #known = new Map<number, TypeDescriptor | null>();
  /** Relations by id that have been described before. */
  readonly #described = new Set<number>();
  /** Relations with types that the catalog did not have, and when it is asked again. */
  readonly #incomplete = new WeakMap<RelationVersion, { readonly dueAt: number; readonly delayMs: number }>();
  readonly #preparing = new Map<RelationVersion, Promise<void>>();
  readonly #warnings: string[] = [];
  readonly #closed = new AbortController();
  #lookups: Promise<boolean> = Promise.resolve(true);
  #retryAt = Number.NEGATIVE_INFINITY;
  #settledUntil = Number.NEGATIVE_INFINITY;

  /**
   * `config`: for a session with the server that streams. `timeoutMs`: when the server counts as lost, which a look-up does
   * not outwait.
   */
  constructor(
    config: () => ConnectionConfig,
    rules: TypeRules,
    timeoutMs: number,
    onWarning: (warning: string) => void = () => {},
  ) {
    this.#config = config;
    this.#timeoutMs = Math.min(timeoutMs, LOOKUP_TIMEOUT_MS);
    this.rules = rules;
    this.#onWarning = onWarning;
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Whether values of unknown form are not worth another look-up now. */
  get settled(): boolean {
    return performance.now() < this.#settledUntil;
  }

  /** Takes descriptions that were read elsewhere. Tells whether anything is known differently now. */
  learn(descriptors: readonly TypeDescriptor[]): boolean {
    let hasChanged = false;
    for (const descriptor of descriptors) {
      const before = this.#known.get(descriptor.oid) ?? undefined;
      const now = withEarlierFields(descriptor, before);
      if (isDeepStrictEqual(now, before)) continue;
      this.#known.set(now.oid, now);
      hasChanged = true;
    }
    return hasChanged;
  }

  /**
   * Gives the relations their types, so that their rows can be decoded. `undefined` when that is done; a promise, which
   * does not reject, when the catalog is asked.
   */
  prepare(relations: readonly RelationVersion[]): Promise<void> | undefined {
    const waits: Promise<void>[] = [];
    for (const version of relations) {
      if (version.types !== undefined && !this.#isDue(version)) continue;
      const wait = this.#preparing.get(version) ?? this.#prepareOne(version);
      if (wait !== undefined) waits.push(wait);
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => {});
  }

  /**
   * Values of these composite types came with fields that are not known: asks again. Afterwards the relations have the
   * best types there are.
   */
  async refresh(oids: readonly number[], relations: readonly RelationVersion[]): Promise<void> {
    const before = oids.map((oid) => this.#known.get(oid));
    if (!this.settled) await this.#lookup(oids);
    if (oids.every((oid, at) => this.#known.get(oid) === before[at])) {
      this.#settledUntil = performance.now() + SETTLED_MS;
    }
    for (const version of relations) version.useTypes(this.rules, this.#typesOf(version));
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#lookups;
  }

  #prepareOne(version: RelationVersion): Promise<void> | undefined {
    const { id } = version.relation;
    const oids = this.rules.needCatalog ? describedOids(version) : [];
    // Described anew, a relation may have types that are new too, under the same OIDs.
    const isFirst = version.types === undefined && !this.#described.has(id);
    const unknown = isFirst ? oids.filter((oid) => !this.#known.has(oid)) : oids;
    this.#described.add(id);
    if (unknown.length === 0) {
      version.useTypes(this.rules, this.#typesOf(version));
      return undefined;
    }
    const wait = this.#lookup(unknown).then(() => {
      version.useTypes(this.rules, this.#typesOf(version));
      this.#preparing.delete(version);
      if (unknown.some((oid) => this.#known.get(oid) === null)) this.#askLater(version);
      else this.#incomplete.delete(version);
    });
    this.#preparing.set(version, wait);
    return wait;
  }

  #isDue(version: RelationVersion): boolean {
    const incomplete = this.#incomplete.get(version);
    return incomplete !== undefined && performance.now() >= incomplete.dueAt;
  }

  #askLater(version: RelationVersion): void {
    const before = this.#incomplete.get(version)?.delayMs ?? MISSING_MIN_DELAY_MS / 2;
    const delayMs = Math.min(before * 2, MISSING_MAX_DELAY_MS);
    this.#incomplete.set(version, { dueAt: performance.now() + delayMs, delayMs });
  }

  /** The types of its columns and those they are made of. */
  #typesOf(version: RelationVersion): TypeDescriptor[] {
    const found = new Map<number, TypeDescriptor>();
    const wanted = describedOids(version);
    for (let oid = wanted.pop(); oid !== undefined; oid = wanted.pop()) {
      const descriptor = found.has(oid) ? undefined : this.#known.get(oid);
      if (descriptor === undefined || descriptor === null) continue;
      found.set(oid, descriptor);
      wanted.push(...partsOf(descriptor));
    }
    return [...found.values()];
  }

  /** One after the other. `false` when there was no answer. */
  #lookup(oids: readonly number[]): Promise<boolean> {
    this.#lookups = this.#lookups.then(() => this.#lookupNow(oids));
    return this.#lookups;
  }

  async #lookupNow(oids: readonly number[]): Promise<boolean> {
    if (this.#closed.signal.aborted || performance.now() < this.#retryAt) return false;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(this.#timeoutMs)]);
    try {
      await using session = await PgConnection.connect(this.#config(), { mode: 'sql', signal });
      let found = await readTypes(session, oids, { signal });
      if (!hasAll(found, oids)) {
        await sleep(MISSING_RETRY_MS, undefined, { signal });
        found = await readTypes(session, oids, { signal });
      }
      this.learn(found);
      for (const oid of oids) if (!this.#known.has(oid)) this.#known.set(oid, null);
      return true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      this.#retryAt = performance.now() + RETRY_AFTER_MS;
      const why = signal.aborted ? `no answer within ${this.#timeoutMs} ms` : (error as Error).message;
      this.warn(typesWarning(oids, why));
      return false;
    }
  }

  warn(warning: string): void {
    if (this.#warnings.length >= MAX_WARNINGS) return;
    this.#warnings.push(warning);
    this.#onWarning(warning);
  }
}

function typesWarning(oids: readonly number[], why: string): string {
  return `the catalog does not tell what types ${oids.join(', ')} are, their values are given as the server sends them: ${why}`;
}

/** Types of columns that are not built in. */
function describedOids(version: RelationVersion): number[] {
  const oids = version.relation.columns.map((column) => column.typeOid);
  return [...new Set(oids)].filter((oid) => builtinNameOf(oid) === undefined);
}

function partsOf(descriptor: TypeDescriptor): number[] {
  switch (descriptor.kind) {
    case 'base':
    case 'enum':
      return [];
    case 'domain':
      return [descriptor.baseOid];
    case 'array':
      return [descriptor.elementOid];
    case 'composite':
      return [descriptor.fields, ...descriptor.earlierFields].flat().map((field) => field.typeOid);
    case 'range':
      return [descriptor.subtypeOid];
    case 'multirange':
      return [descriptor.rangeOid];
    default:
      return descriptor satisfies never;
  }
}

function hasAll(found: readonly TypeDescriptor[], oids: readonly number[]): boolean {
  const foundOids = new Set(found.map((descriptor) => descriptor.oid));
  return oids.every((oid) => foundOids.has(oid));
}

/** What a composite type was before is kept: values that were written then may still come. */
function withEarlierFields(now: TypeDescriptor, before: TypeDescriptor | undefined): TypeDescriptor {
  if (now.kind !== 'composite' || before?.kind !== 'composite') return now;
  const earlierFields: (readonly CompositeField[])[] = [];
  for (const fields of [before.fields, ...before.earlierFields]) {
    const isKnown = [now.fields, ...earlierFields].some((other) => isDeepStrictEqual(other, fields));
    if (!isKnown && earlierFields.length < MAX_EARLIER_FIELDS) earlierFields.push(fields);
  }
  return { ...now, earlierFields };
}
