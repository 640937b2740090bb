import { ValidationError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { RowEvent } from '../pgoutput/event.js';
import { EventFlag } from '../pgoutput/packed-batch.js';
import type { Relation } from '../pgoutput/relation.js';
import type { TranscodeResult } from '../pgoutput/transcoder.js';
import { type BatchPosition, WalBatch } from '../pgoutput/wal-batch.js';
import type { InvalidRow, InvalidRows, TransformFailure } from './decode-task.js';
import { encodeError } from './error-codec.js';
import { issuePaths } from './row-issues.js';
import type { StandardSchema } from './standard-schema.js';
import type { Validators } from './validators.js';

/** Rows of one batch that are described; the others are counted. */
const MAX_DESCRIBED_ROWS = 20;

/** What validators made of a packed batch. */
export interface ValidatedBatch {
  /** Up to the row that is not valid, or on which a validator threw. */
  readonly index: Uint32Array;
  readonly error: ValidationError | undefined;
  readonly failure: TransformFailure | undefined;
  readonly invalidRows: InvalidRows;
}

/** Runs a user's validators over the new rows of packed batches. */
export class ValidateRunner {
  readonly #validators: Validators;
  readonly #onInvalid: 'fail' | 'drop';
  /** By relation, since its name would be put together for every row. */
  readonly #byRelation = new WeakMap<Relation, { readonly schema: StandardSchema | undefined }>();

  constructor(validators: Validators, onInvalid: 'fail' | 'drop') {
    this.#validators = validators;
    this.#onInvalid = onInvalid;
  }

  /** Rows that are dropped are marked in `packed.index`. */
  async run(packed: TranscodeResult, position: BatchPosition): Promise<ValidatedBatch> {
    const { index } = packed;
    const described: InvalidRow[] = [];
    let count = 0;
    const cursor = new WalBatch(position, packed)[Symbol.iterator]();
    for (let at = cursor.at, step = cursor.next(); !step.done; at = cursor.at, step = cursor.next()) {
      const event = step.value;
      if (event.kind !== 'insert' && event.kind !== 'update') continue;
      const schema = this.#schemaOf(event.relation);
      if (schema === undefined) continue;
      const invalidRows = { count, described };
      let paths: readonly string[];
      try {
        const row = event.new;
        let result = schema['~standard'].validate(row);
        // Only what is a promise is awaited: a tick per row would cost more than most validators.
        if ('then' in result) result = await result;
        paths = result.issues === undefined ? [] : issuePaths(row, result.issues);
      } catch (error) {
        const failure: TransformFailure = { by: 'validator', error: encodeError(error), ...placeOf(event) };
        return { index: index.subarray(0, at), error: undefined, failure, invalidRows };
      }
      if (paths.length === 0) continue;
      if (this.#onInvalid === 'fail') {
        return { index: index.subarray(0, at), error: errorOf(event, paths), failure: undefined, invalidRows };
      }
      index[at] = (index[at] as number) | EventFlag.dropped;
      if (count++ < MAX_DESCRIBED_ROWS) described.push({ ...placeOf(event), paths });
    }
    return { index, error: undefined, failure: undefined, invalidRows: { count, described } };
  }

  #schemaOf(relation: Relation): StandardSchema | undefined {
    let known = this.#byRelation.get(relation);
    if (known === undefined) {
      known = { schema: this.#validators.get(`${relation.schema}.${relation.table}`) };
      this.#byRelation.set(relation, known);
    }
    return known.schema;
  }
}

function placeOf({ lsn, schema, table, ordinal }: RowEvent) {
  return { lsn, relation: `${schema}.${table}`, ordinal };
}

function errorOf(event: RowEvent, paths: readonly string[]): ValidationError {
  const { lsn, relation, ordinal } = placeOf(event);
  const change = ordinal === undefined ? 'a change' : `change ${ordinal} of its transaction`;
  const where = paths.map((path) => path || 'the row as a whole').join(', ');
  const message = `a row of ${relation}, ${change} at ${Lsn.format(lsn)}, is not valid: ${where}`;
  return new ValidationError(message, { lsn, relation, ordinal, paths });
}
