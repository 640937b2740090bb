import { DecodeError } from '../errors.js';

/**
 * inet and cidr binary:
 * ```
 * uint8  family: 2 IPv4, 3 IPv6
 * uint8  bits of the netmask
 * uint8  1 for cidr
 * uint8  byte count of the address, 4 or 16
 * ```
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/network.c
 */
export function networkText(bytes: Buffer): string {
  const isIpv4 = bytes.readUInt8(0) === 2;
  const bits = bytes.readUInt8(1);
  const isCidr = bytes.readUInt8(2) === 1;
  const byteCount = isIpv4 ? 4 : 16;
  const isKnown = isIpv4 || bytes.readUInt8(0) === 3;
  if (!isKnown || bytes.readUInt8(3) !== byteCount || bytes.length !== 4 + byteCount || bits > byteCount * 8) {
    throw new DecodeError('network address has an unknown family or length', { offset: 0 });
  }
  const address = isIpv4 ? ipv4Text(bytes, 4) : ipv6Text(bytes, 4);
  return isCidr || bits !== byteCount * 8 ? `${address}/${bits}` : address;
}

/** macaddr and macaddr8: six or eight bytes. */
export function macAddressText(bytes: Buffer): string {
  if (bytes.length !== 6 && bytes.length !== 8) {
    throw new DecodeError(`MAC address of ${bytes.length} bytes`, { offset: 0 });
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function ipv4Text(bytes: Buffer, start: number): string {
  return bytes.subarray(start, start + 4).join('.');
}

/** The longest run of at least two zero words becomes `::`; addresses that embed an IPv4 one show it dotted. */
function ipv6Text(bytes: Buffer, start: number): string {
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(start + 2 * index));
  let runStart = -1;
  let runLength = 1;
  for (let index = 0; index < 8; index++) {
    let length = 0;
    while (index + length < 8 && words[index + length] === 0) {
      length++;
    }
    if (length > runLength) {
      runStart = index;
      runLength = length;
    }
  }
  const embedsIpv4 = runStart === 0 && (runLength === 6 || (runLength === 5 && words[5] === 0xffff));
  const parts = words.map((word) => word.toString(16));
  if (embedsIpv4) {
    parts.splice(6, 2, ipv4Text(bytes, start + 12));
  }
  if (runStart < 0) {
    return parts.join(':');
  }
  return `${parts.slice(0, runStart).join(':')}::${parts.slice(runStart + runLength).join(':')}`;
}
