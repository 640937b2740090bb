import { DecodeError, ValidationError, type WireLocation } from '../errors.js';

/** An error in a form that survives structured clone, which drops class, code and fields of error subclasses. */
export type EncodedError =
  | {
      readonly kind: 'decode';
      readonly message: string;
      readonly location: Omit<WireLocation, 'cause'>;
      /** What a parser of the user's threw. */
      readonly cause: EncodedError | undefined;
    }
  | ({ readonly kind: 'validation'; readonly message: string } & ConstructorParameters<typeof ValidationError>[1])
  | { readonly kind: 'other'; readonly name: string; readonly message: string; readonly stack: string | undefined };

export function encodeError(error: unknown): EncodedError {
  if (error instanceof DecodeError) {
    const { message, offset, tag, lsn, relationId, relation, column, cause } = error;
    const location = { offset, tag, lsn, relationId, relation, column };
    return { kind: 'decode', message, location, cause: cause === undefined ? undefined : encodeError(cause) };
  }
  if (error instanceof ValidationError) {
    const { message, lsn, relation, ordinal, paths } = error;
    return { kind: 'validation', message, lsn, relation, ordinal, paths };
  }
  if (error instanceof Error) return { kind: 'other', name: error.name, message: error.message, stack: error.stack };
  const what = error === null ? 'null' : error === undefined ? 'undefined' : `a ${typeof error}`;
  return { kind: 'other', name: 'Error', message: `${what} was thrown`, stack: undefined };
}

export function decodeError(encoded: EncodedError): Error {
  if (encoded.kind === 'decode') {
    const { message, location, cause } = encoded;
    return new DecodeError(message, { ...location, ...(cause !== undefined && { cause: decodeError(cause) }) });
  }
  if (encoded.kind === 'validation') return new ValidationError(encoded.message, encoded);
  const error = new Error(encoded.message);
  error.name = encoded.name;
  if (encoded.stack !== undefined) error.stack = encoded.stack;
  return error;
}
