import { crc32c } from '@node-rs/crc32';

/*
 * What global/pg_control begins with, and where its CRC-32C lies, which covers everything before it.
 *
 *   ControlFileData systemIdentifier:UInt64 controlVersion:UInt32 catalogVersion:UInt32 ... crc:UInt32
 *
 * https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_control.h
 */

export const CONTROL_FILE_PATH = 'global/pg_control';
/** More than any version's ControlFileData; the file itself is filled up to 8 KiB. */
export const CONTROL_FILE_READ_BYTES = 8192;

/** Where the CRC lies, by pg_control_version: of PostgreSQL 17 and 18. Manifests of older ones name no system. */
const CRC_OFFSETS: ReadonlyMap<number, number> = new Map([
  [1700, 288],
  [1800, 292],
]);

/** What is wrong with a control file: `undefined` when it is whole and of this system. */
export function judgeControlFile(bytes: Buffer, systemIdentifier: bigint): string | undefined {
  if (bytes.length < 16) return 'the control file is too short';
  const version = bytes.readUInt32LE(8);
  const crcOffset = CRC_OFFSETS.get(version);
  if (crcOffset === undefined) return `unexpected control file version ${version}`;
  if (bytes.length < crcOffset + 4) return 'the control file is too short';
  if (crc32c(bytes.subarray(0, crcOffset)) !== bytes.readUInt32LE(crcOffset)) return 'CRC is incorrect';
  const found = bytes.readBigUInt64LE(0);
  return found === systemIdentifier
    ? undefined
    : `manifest system identifier is ${systemIdentifier}, but control file has ${found}`;
}
