/**
 * interval binary: int64 microseconds, int32 days, int32 months. Since PostgreSQL 17 the extremes of all three are
 * ±infinity (earlier servers would print their sums).
 *
 * @see https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-INTERVAL-OUTPUT
 */
export function intervalText(bytes: Buffer): string {
  const microseconds = bytes.readBigInt64BE(0);
  const days = bytes.readInt32BE(8);
  const months = bytes.readInt32BE(12);
  if (microseconds === MAX_INT8 && days === 0x7fffffff && months === 0x7fffffff) {
    return 'infinity';
  }
  if (microseconds === -MAX_INT8 - 1n && days === -0x80000000 && months === -0x80000000) {
    return '-infinity';
  }
  const years = Math.trunc(months / 12);
  // A positive part after a negative one shows its sign.
  let text = part('', years, 'year', false);
  let previousNegative = years < 0;
  const restMonths = months - years * 12;
  text = part(text, restMonths, 'mon', previousNegative);
  previousNegative = restMonths === 0 ? previousNegative : restMonths < 0;
  text = part(text, days, 'day', previousNegative);
  previousNegative = days === 0 ? previousNegative : days < 0;
  if (microseconds === 0n && text !== '') {
    return text;
  }
  const sign = microseconds < 0n ? '-' : previousNegative ? '+' : '';
  return `${text}${text === '' ? '' : ' '}${sign}${durationText(microseconds < 0n ? -microseconds : microseconds)}`;
}

const MAX_INT8 = 0x7fffffffffffffffn;

function part(text: string, value: number, unit: string, previousNegative: boolean): string {
  if (value === 0) {
    return text;
  }
  const sign = previousNegative && value > 0 ? '+' : '';
  return `${text}${text === '' ? '' : ' '}${sign}${value} ${unit}${value === 1 ? '' : 's'}`;
}

/** `HH:MM:SS[.ffffff]`; hours take as many digits as they need. */
function durationText(microseconds: bigint): string {
  // Seconds, at most 2^63 / 10^6, are an exact number.
  const seconds = Number(microseconds / 1_000_000n);
  const fraction = Number(microseconds % 1_000_000n);
  const text = `${twoDigits(Math.floor(seconds / 3600))}:${twoDigits(Math.floor(seconds / 60) % 60)}:${twoDigits(seconds % 60)}`;
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}
