import { BackupError, ManifestMismatchError } from '../errors.js';
import { decodeError, type EncodedError, encodeError } from '../threads/error-codec.js';
import type { BackupPositions, BackupSummary } from './backup-layout.js';

/** What the thread that writes a backup is told, in this order: archives with their bytes, the manifest with its, the end. */
export type BackupTask =
  | { readonly kind: 'archive'; readonly index: number }
  | { readonly kind: 'manifest' }
  /** Stretches of shared memory, as pairs of start and end. Answered by `taken` when the memory may be used again. */
  | { readonly kind: 'bytes'; readonly memory: SharedArrayBuffer; readonly stretches: readonly number[] }
  | { readonly kind: 'finish'; readonly positions: BackupPositions; readonly prove: boolean };

/** What it answers. */
export type BackupReply =
  | { readonly kind: 'taken' }
  | { readonly kind: 'finished'; readonly summary: BackupSummary }
  /** Nothing is done any more. */
  | { readonly kind: 'failed'; readonly failure: EncodedFailure };

/** An error in a form that survives structured clone. */
export type EncodedFailure =
  | { readonly kind: 'backup'; readonly message: string; readonly path: string | undefined; readonly cause: unknown }
  | {
      readonly kind: 'mismatch';
      readonly message: string;
      readonly path: string;
      readonly expected: string;
      readonly actual: string;
    }
  | { readonly kind: 'unexpected'; readonly error: EncodedError };

export function encodeFailure(error: unknown): EncodedFailure {
  if (error instanceof BackupError) {
    const { message, path, cause } = error;
    return { kind: 'backup', message, path, cause: cause instanceof Error ? systemError(cause) : undefined };
  }
  if (error instanceof ManifestMismatchError) {
    const { message, path, expected, actual } = error;
    return { kind: 'mismatch', message, path, expected, actual };
  }
  return { kind: 'unexpected', error: encodeError(error) };
}

export function decodeFailure(failure: EncodedFailure): Error {
  switch (failure.kind) {
    case 'backup': {
      const { message, path, cause } = failure;
      const { message: reason = '', ...fields } = (cause ?? {}) as Partial<Error>;
      return new BackupError(message, {
        ...(path !== undefined && { path }),
        ...(cause !== undefined && { cause: Object.assign(new Error(reason), fields) }),
      });
    }
    case 'mismatch':
      return new ManifestMismatchError(failure.message, failure);
    case 'unexpected': {
      const cause = decodeError(failure.error);
      return new BackupError(`the thread that writes the backup failed: ${cause.message}`, { cause });
    }
    default:
      return failure satisfies never;
  }
}

/** An error of the file system loses its code in structured clone; as an object it does not. */
function systemError(error: Error): object {
  const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
  return { message, code, errno, syscall };
}
