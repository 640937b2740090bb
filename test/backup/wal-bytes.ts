import { crc32c } from '@node-rs/crc32';

/** A record to be written. */
export interface RecordToWrite {
  readonly data: Buffer;
  readonly rmgr?: number;
  readonly info?: number;
}

export interface WalToWrite {
  readonly startLsn: bigint;
  readonly timeline: number;
  readonly magic?: number;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly systemIdentifier: bigint;
}

export interface WrittenWal {
  /** Whole segments, from the start of the one that holds `startLsn`. */
  readonly bytes: Buffer;
  readonly baseLsn: bigint;
  readonly endLsn: bigint;
  /** Offsets in `bytes` of which every bit counts: of page headers and records. */
  readonly meaningful: Set<number>;
  readonly recordLsns: readonly bigint[];
}

/** Writes records as a server would: pages with headers, records across them, CRCs and links. */
export function writeWal(wal: WalToWrite, records: readonly RecordToWrite[]): WrittenWal {
  const { startLsn, timeline, segmentBytes, pageBytes, systemIdentifier, magic = 0xd118 } = wal;
  const baseLsn = startLsn - (startLsn % BigInt(segmentBytes));
  const total = records.reduce((sum, { data }) => sum + data.length + 64, Number(startLsn - baseLsn));
  const switches = records.filter(isSwitch).length;
  const segments = Math.ceil((total * 1.5) / segmentBytes) + switches + 1;
  const bytes = Buffer.alloc(segments * segmentBytes);
  const meaningful = new Set<number>();
  let at = Number(startLsn - baseLsn);
  let prevLsn = startLsn === baseLsn ? startLsn - 100n : baseLsn + 8n;
  const recordLsns: bigint[] = [];
  let headers = 0;
  // The first page of the segment and the one that is entered in the middle have headers too.
  if (at > 0) writeHeader(0, 0, false, at < pageBytes);
  const page = at - (at % pageBytes);
  if (page > 0 && at % pageBytes > 0) writeHeader(page, 0, false, true);

  for (const record of records) {
    if (at % pageBytes === 0) at += writeHeader(at, 0, false, true);
    const lsn = baseLsn + BigInt(at);
    recordLsns.push(lsn);
    const encoded = encodeRecord(record, prevLsn);
    prevLsn = lsn;
    for (let done = 0; done < encoded.length; ) {
      if (at % pageBytes === 0) at += writeHeader(at, encoded.length - done, true, true);
      const count = Math.min(encoded.length - done, pageBytes - (at % pageBytes));
      encoded.copy(bytes, at, done, done + count);
      for (let offset = at; offset < at + count; offset++) meaningful.add(offset);
      done += count;
      at += count;
    }
    if (isSwitch(record)) {
      // The rest of the segment: pages with headers and nothing else.
      while (at % segmentBytes !== 0) {
        if (at % pageBytes === 0) writeHeader(at, 0, false, false);
        at = Math.min(Math.ceil((at + 1) / pageBytes) * pageBytes, Math.ceil(at / segmentBytes) * segmentBytes);
      }
    } else {
      at = Math.ceil(at / 8) * 8;
    }
  }
  const end = Math.ceil(at / segmentBytes) * segmentBytes;
  return { bytes: bytes.subarray(0, end), baseLsn, endLsn: baseLsn + BigInt(at), meaningful, recordLsns };

  function writeHeader(offset: number, remaining: number, continues: boolean, counts: boolean): number {
    const isLong = offset % segmentBytes === 0;
    bytes.writeUInt16LE(magic, offset);
    bytes.writeUInt16LE((continues ? 1 : 0) | (isLong ? 2 : 0), offset + 2);
    bytes.writeUInt32LE(timeline, offset + 4);
    bytes.writeBigUInt64LE(baseLsn + BigInt(offset), offset + 8);
    bytes.writeUInt32LE(remaining, offset + 16);
    if (isLong) {
      bytes.writeBigUInt64LE(systemIdentifier, offset + 24);
      bytes.writeUInt32LE(segmentBytes, offset + 32);
      bytes.writeUInt32LE(pageBytes, offset + 36);
    }
    if (counts) {
      // Not all flags count, in the first page an older timeline or another major is right, and remainingLength is for a
      // record that goes on.
      for (let byte = 0; byte < (continues ? 20 : 16); byte++) {
        const isFree = byte < 2 || (byte >= 4 && byte < 8);
        const counts = byte !== 2 && !(isFree && headers === 0);
        if (counts) meaningful.add(offset + byte);
      }
      headers++;
      if (isLong) for (let byte = 24; byte < 40; byte++) meaningful.add(offset + byte);
    }
    return isLong ? 40 : 24;
  }
}

export function switchRecord(): RecordToWrite {
  return { data: Buffer.alloc(0), rmgr: 0, info: 0x40 };
}

function isSwitch({ rmgr, info }: RecordToWrite): boolean {
  return rmgr === 0 && info === 0x40;
}

function encodeRecord({ data, rmgr = 10, info = 0 }: RecordToWrite, prevLsn: bigint): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(header.length + data.length, 0);
  header.writeUInt32LE(731, 4);
  header.writeBigUInt64LE(prevLsn, 8);
  header[16] = info;
  header[17] = rmgr;
  header.writeUInt32LE(crc32c(header.subarray(0, 20), crc32c(data)), 20);
  return Buffer.concat([header, data]);
}
