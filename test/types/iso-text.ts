/**
 * What the ISO rule makes of the server's date/time text: written a second time, by regular expression, to check the
 * byte-wise writers against.
 */
export function isoOf(typeName: string, serverText: string): string {
  const match = /^(?:(\d{4,7})(-\d\d-\d\d))?( )?(\d\d:\d\d:\d\d(?:\.\d+)?)?([+-]\d\d(?::\d\d(?::\d\d)?)?)?( BC)?$/.exec(
    serverText,
  );
  if (match === null || !/^(?:date|time)/.test(typeName)) {
    return serverText;
  }
  const [, year, monthAndDay, space, time, offset, bc] = match;
  let iso = '';
  if (year !== undefined) {
    iso += `${isoYear(bc === undefined ? Number(year) : 1 - Number(year))}${monthAndDay}`;
  }
  if (space !== undefined) {
    iso += 'T';
  }
  iso += time ?? '';
  if (offset !== undefined) {
    iso += typeName === 'timestamptz' && offset === '+00' ? 'Z' : offset.length === 3 ? `${offset}:00` : offset;
  }
  return iso;
}

function isoYear(year: number): string {
  const digits = String(Math.abs(year));
  if (year >= 0 && year <= 9999) {
    return digits.padStart(4, '0');
  }
  return `${year < 0 ? '-' : '+'}${digits.padStart(6, '0')}`;
}
