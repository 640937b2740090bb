import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { PgoutputDecoder } from '../../src/pgoutput/decoder.js';
import { encodeMessage } from '../../src/pgoutput/encoder.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { keyFromTuple, rowFromTuple } from '../../src/pgoutput/tuple-row.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { xLogData } from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { type CutStream, cutStream, eventFacts, taskOf } from './batches.js';
import { RECORDING_SETTINGS, type RecordedStream, recordStreams } from './recorded-streams.js';

/*
 * Recorded streams with some of their messages damaged. Every message gives what it says or a DecodeError: no other
 * error, no end of the process, no hang, no memory beyond a fixed multiple of what came in.
 */

const RUNS = 1_000;
/** Messages read after the last damaged one. */
const AFTERMATH = 20;
/** The slowest that a run of about a mebibyte may be on a busy machine; a real hang ends with the file's time limit. */
const MAX_RUN_MS = 10_000;
/** Packed bytes per byte on the wire at most, numbers aside: test/pgoutput/expansion.test.ts has the worst cases. */
const MAX_EXPANSION = 20;
/** The longest number that ten bytes in binary can be: 131,072 digits before the point and 16,383 after it. */
const MAX_NUMERIC_BYTES = 131_072 + 16_383 + 2;
const MAX_GROWN_BYTES = 512 * 1024 * 1024;

const server = sharedServer({ settings: RECORDING_SETTINGS });

interface Damage {
  readonly how: 'byte' | 'bit' | 'cut' | 'grow' | 'drop' | 'repeat' | 'swap';
  /** Picks a kind of message, then one of that kind: most messages are inserts. */
  readonly tag: number;
  readonly message: number;
  readonly at: number;
  readonly value: number;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  how: fc.constantFrom('byte', 'byte', 'byte', 'bit', 'bit', 'cut', 'cut', 'grow', 'drop', 'repeat', 'swap'),
  tag: fc.nat(255),
  message: fc.nat(100_000),
  at: fc.nat(1_000_000),
  value: fc.nat(255),
});
const damages = fc.array(damage, { minLength: 1, maxLength: 3 });

interface Damaged {
  readonly messages: readonly Buffer[];
  /** For the report of a failure. */
  readonly changed: readonly number[];
}

function damaged(stream: RecordedStream, list: readonly Damage[]): Damaged {
  const messages = [...stream.messages];
  const changed: number[] = [];
  for (const { how, tag, message, at, value } of list) {
    const tags = [...new Set(messages.map((bytes) => bytes[0]))];
    const ofTag = [...messages.keys()].filter((index) => messages[index]?.[0] === tags[tag % tags.length]);
    const target = ofTag[message % ofTag.length] ?? 0;
    const bytes = Buffer.from(messages[target] ?? []);
    // Half of the damage near the start, where the structure is.
    const place = (value % 2 === 0 ? at % 64 : at) % Math.max(bytes.length, 1);
    changed.push(target);
    switch (how) {
      case 'byte':
        bytes[place] = value;
        messages[target] = bytes;
        break;
      case 'bit':
        bytes[place] ^= 1 << (value % 8);
        messages[target] = bytes;
        break;
      case 'cut':
        messages[target] = bytes.subarray(0, place);
        break;
      case 'grow':
        messages[target] = Buffer.concat([
          bytes.subarray(0, place),
          Buffer.alloc(1 + (value % 9), value),
          bytes.subarray(place),
        ]);
        break;
      case 'drop':
        messages.splice(target, 1);
        break;
      case 'repeat':
        messages.splice(target, 0, bytes);
        break;
      default: {
        const other = at % messages.length;
        messages[target] = messages[other] ?? bytes;
        messages[other] = bytes;
        changed.push(other);
      }
    }
  }
  return { messages: messages.slice(0, Math.max(...changed) + AFTERMATH), changed };
}

/** What `read` gives; `undefined` for a DecodeError. Any other error is a failure. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function assertLocated(error: unknown): void {
  assert.ok(error instanceof DecodeError, `${error instanceof Error ? error.stack : error}`);
  assert.ok(error.offset >= 0, `offset ${error.offset}`);
}

interface Outcome {
  readonly decoded: number;
  readonly refused: number;
}

/** One decoder for all messages: it goes on after an error. */
function readByMessage(messages: readonly Buffer[]): Outcome {
  const decoder = new PgoutputDecoder();
  let refused = 0;
  for (const bytes of messages) {
    const message = attempt(() => decoder.decode(bytes));
    if (message === undefined) {
      refused++;
      continue;
    }
    if (!bytes.includes('pg_catalog\0')) assert.ok(encodeMessage(message).equals(bytes), 'the same bytes again');
    if (message.kind !== 'insert' && message.kind !== 'update' && message.kind !== 'delete') continue;
    const relation = decoder.relation(message.relationId);
    assert.ok(relation !== undefined);
    const { key, old } = message.kind === 'insert' ? {} : message;
    if (key !== undefined) attempt(() => keyFromTuple(key, relation));
    if (old !== undefined) attempt(() => rowFromTuple(old, relation));
    if (message.kind !== 'delete') attempt(() => rowFromTuple(message.new, relation));
  }
  return { decoded: messages.length - refused, refused };
}

function framesOf(messages: readonly Buffer[]): Buffer[] {
  return messages.map((message, at) => xLogData(BigInt(at + 1), message));
}

/** Cutter, transcoder and every property of every event, as a stream has them. */
function readByBatch(messages: readonly Buffer[], cutEvery: number): Outcome & { packedBytes: number } {
  const transcoder = new Transcoder('lossless');
  const frames = framesOf(messages);
  let decoded = 0;
  let packedBytes = 0;
  for (const batch of cut(frames, cutEvery)) {
    const packed = transcoder.transcode(taskOf(batch));
    packedBytes += packed.data.byteLength + packed.index.byteLength;
    for (const event of attempt(() => [...new WalBatch(batch.position, packed)]) ?? []) {
      decoded++;
      attempt(() => eventFacts(event));
      attempt(() => JSON.stringify(event));
    }
    if (packed.error === undefined) continue;
    assertLocated(packed.error);
    // A stream ends here.
    return { decoded, refused: 1, packedBytes };
  }
  return { decoded, refused: 0, packedBytes };
}

/** The batches; those before the message that the cutter refuses, if it does. */
function cut(frames: readonly Buffer[], cutEvery: number): CutStream['batches'] {
  const cutAfter = (messageNumber: number) => messageNumber % cutEvery === cutEvery - 1;
  const whole = attempt(() => cutStream(frames, cutAfter));
  return (whole ?? cutStream(frames.slice(0, acceptedCount(frames)), cutAfter)).batches;
}

/** How many frames the cutter takes, when it does not take all. */
function acceptedCount(frames: readonly Buffer[]): number {
  let accepted = 0;
  let refused = frames.length;
  while (refused - accepted > 1) {
    const middle = (accepted + refused) >> 1;
    if (attempt(() => cutStream(frames.slice(0, middle))) === undefined) refused = middle;
    else accepted = middle;
  }
  return accepted;
}

/** PostgreSQL 18 names transactions of which it has sent nothing; these are no events. */
function strayAborts(messages: readonly Buffer[]): number {
  return cut(framesOf(messages), 50).reduce((sum, { facts }) => sum + facts.strayAborts.length, 0);
}

describe(`PostgreSQL ${PG_MAJOR}: damaged streams`, () => {
  let streams: RecordedStream[] = [];
  before(async () => {
    streams = await recordStreams(server());
  });

  /** Runs `read` on damaged streams; a failure names the messages at fault, which no seed alone brings back. */
  function fuzz(read: (messages: readonly Buffer[], cutEvery: number, damageCount: number) => Outcome): Outcome {
    const sum = { decoded: 0, refused: 0 };
    const rssBefore = process.memoryUsage().rss;
    fc.assert(
      fc.property(fc.nat(100), damages, fc.integer({ min: 1, max: 400 }), (streamAt, list, cutEvery) => {
        const stream = streams[streamAt % streams.length];
        assert.ok(stream !== undefined);
        const { messages, changed } = damaged(stream, list);
        const start = performance.now();
        try {
          const { decoded, refused } = read(messages, cutEvery, list.length);
          sum.decoded += decoded;
          sum.refused += refused;
        } catch (cause) {
          const bytes = changed.map((at) => `message ${at}: ${messages[at]?.toString('hex').slice(0, 2_000)}`);
          throw new Error(`${stream.title}\n${bytes.join('\n')}`, { cause });
        }
        const tookMs = performance.now() - start;
        assert.ok(tookMs < MAX_RUN_MS, `${tookMs} ms for ${messages.length} messages`);
      }),
      { numRuns: RUNS },
    );
    const grown = process.memoryUsage().rss - rssBefore;
    assert.ok(grown < MAX_GROWN_BYTES, `${grown >> 20} MiB more`);
    return sum;
  }

  test('undamaged, all of it is read', () => {
    for (const { title, messages } of streams) {
      assert.deepEqual(readByMessage(messages), { decoded: messages.length, refused: 0 }, title);
    }
    for (const { title, messages } of streams) {
      const { decoded, refused } = readByBatch(messages, 50);
      assert.deepEqual({ decoded, refused }, { decoded: messages.length - strayAborts(messages), refused: 0 }, title);
    }
  });

  test('message by message', (t) => {
    const { decoded, refused } = fuzz(readByMessage);
    t.diagnostic(`${decoded} messages decoded, ${refused} refused`);
    assert.ok(refused > RUNS / 4 && decoded > RUNS * 10);
  });

  test('by batches', (t) => {
    let worst = 0;
    const { decoded, refused } = fuzz((messages, cutEvery, damageCount) => {
      const outcome = readByBatch(messages, cutEvery);
      const wireBytes = messages.reduce((sum, message) => sum + message.length, 0);
      const allowed = wireBytes * MAX_EXPANSION + damageCount * MAX_NUMERIC_BYTES;
      assert.ok(outcome.packedBytes <= allowed, `${outcome.packedBytes} bytes packed of ${wireBytes}`);
      worst = Math.max(worst, outcome.packedBytes / wireBytes);
      return outcome;
    });
    t.diagnostic(`${decoded} events, ${refused} refused; at most ${worst.toFixed(2)} bytes packed of one`);
    assert.ok(refused > RUNS / 8 && decoded > RUNS);
  });
});
