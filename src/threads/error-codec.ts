import { DecodeError, type WireLocation } from '../errors.js';

/** An error in a form that survives structured clone, which drops class, code and fields of error subclasses. */
export type EncodedError =
  | { readonly kind: 'decode'; readonly message: string; readonly location: Omit<WireLocation, 'cause'> }
  | { readonly kind: 'other'; readonly name: string; readonly message: string; readonly stack: string | undefined };

export function encodeError(error: unknown): EncodedError {
  if (error instanceof DecodeError) {
    const { message, offset, tag, lsn, relationId, relation, column } = error;
    return { kind: 'decode', message, location: { offset, tag, lsn, relationId, relation, column } };
  }
  if (error instanceof Error) return { kind: 'other', name: error.name, message: error.message, stack: error.stack };
  return { kind: 'other', name: 'Error', message: `a ${typeof error} was thrown`, stack: undefined };
}

export function decodeError(encoded: EncodedError): Error {
  if (encoded.kind === 'decode') return new DecodeError(encoded.message, encoded.location);
  const error = new Error(encoded.message);
  error.name = encoded.name;
  if (encoded.stack !== undefined) error.stack = encoded.stack;
  return error;
}
