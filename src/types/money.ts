/**
 * money binary: int64 hundredths. Printed as under `lc_monetary = 'C'`, which the session sets.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/cash.c
 */
export function moneyText(bytes: Buffer): string {
  const value = bytes.readBigInt64BE(0);
  const magnitude = value < 0n ? -value : value;
  const units = String(magnitude / 100n).replace(/\B(?=(?:\d{3})+$)/g, ',');
  return `${value < 0n ? '-' : ''}$${units}.${String(magnitude % 100n).padStart(2, '0')}`;
}
