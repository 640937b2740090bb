import { arrayElementOf, multirangeRangeOf, rangeSubtypeOf } from './oids.js';

export interface CompositeField {
  readonly name: string;
  readonly typeOid: number;
}

/** What a type is made of; the parts are types again, named by OID. */
export type TypeShape =
  /** A type that the server's functions alone know; `send` is the C symbol of the one that gives its binary form. */
  | { readonly kind: 'base'; readonly send: string }
  | { readonly kind: 'enum' }
  | { readonly kind: 'domain'; readonly baseOid: number }
  | { readonly kind: 'array'; readonly elementOid: number; readonly delimiter: string }
  | {
      readonly kind: 'composite';
      readonly fields: readonly CompositeField[];
      /** What the fields were before, newest first: values written then may still come. */
      readonly earlierFields: readonly (readonly CompositeField[])[];
    }
  | { readonly kind: 'range'; readonly subtypeOid: number }
  | { readonly kind: 'multirange'; readonly rangeOid: number };

/**
 * A type that is not built in, as the catalog describes it. Plain data: it crosses to the workers.
 *
 * @see https://www.postgresql.org/docs/current/catalog-pg-type.html
 */
export type TypeDescriptor = { readonly oid: number; readonly schema: string; readonly name: string } & TypeShape;

/** Shape of the built-in types that have parts; undefined for every other type. */
export function builtinShapeOf(oid: number): TypeShape | undefined {
  const element = arrayElementOf(oid);
  if (element !== undefined) return { kind: 'array', ...element };
  const subtypeOid = rangeSubtypeOf(oid);
  if (subtypeOid !== undefined) return { kind: 'range', subtypeOid };
  const rangeOid = multirangeRangeOf(oid);
  if (rangeOid !== undefined) return { kind: 'multirange', rangeOid };
  return undefined;
}
