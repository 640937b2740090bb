import { Oid } from '../types/oids.js';

/** A value of at most so many bytes, its header included, never leaves its row: a pointer would not be smaller. */
const MAX_BYTES_IN_PLACE = 24;
const VARLENA_HEADER_BYTES = 4;
const MAX_CHARACTER_BYTES = 4;

/**
 * Whether a value of the type can be so large that the server moves it out of the row.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/access/table/toast_helper.c
 */
export function canLeaveRow(typeOid: number, typeModifier: number): boolean {
  const bytes = maxValueBytes(typeOid, typeModifier);
  return bytes === undefined || bytes > MAX_BYTES_IN_PLACE;
}

/** Like the server's own `type_maximum_size`; `undefined` where the type has no limit. */
function maxValueBytes(typeOid: number, typeModifier: number): number | undefined {
  if (typeModifier < 0) return undefined;
  switch (typeOid) {
    case Oid.varchar:
    case Oid.bpchar:
      return (typeModifier - VARLENA_HEADER_BYTES) * MAX_CHARACTER_BYTES + VARLENA_HEADER_BYTES;
    case Oid.bit:
    case Oid.varbit:
      return Math.ceil(typeModifier / 8) + 2 * VARLENA_HEADER_BYTES;
    case Oid.numeric: {
      const precision = ((typeModifier - VARLENA_HEADER_BYTES) >> 16) & 0xffff;
      // Digits to the base of 10 000; they need not start with the first decimal one.
      return 8 + 2 * Math.floor((precision + 6) / 4);
    }
    default:
      return undefined;
  }
}
