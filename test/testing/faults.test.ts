import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  AuthenticationError,
  ConnectionError,
  DecodeError,
  ProtocolError,
  ServerError,
  SlotError,
  TimeoutError,
  WalStreamError,
} from '../../src/errors.js';
import type { Fault } from '../../src/testing/index.js';
import { eventsOf, failureOf, insertsOf, ordersTape, sender } from './events.js';

/** Begin, Relation, Insert, Insert, Commit; Begin, Insert, Commit: eight messages, then the keepalive. */
const small = () => ordersTape(2, 1);
const FIRST_INSERT = 2;
const HEADER_BYTES = 5;

suite('lost connections', () => {
  test('cut in the middle of a message: what came before it is delivered, and the rest by the next', async () => {
    const { tape } = small();
    await using from = await sender(tape, { faults: [{ kind: 'cut', at: { message: FIRST_INSERT + 1 } }] });
    const { ids, error } = await insertsOf(from);
    assert.ok(error instanceof ConnectionError && error.phase === 'streaming' && error.retryable, String(error));
    assert.deepEqual(ids, [1]);
    assert.deepEqual((await insertsOf(from, { stopLsn: tape.endLsn })).ids, [1, 2, 3]);
  });

  test('cut at every byte of the first messages, and between two', async () => {
    const { tape } = small();
    await using from = await sender(tape);
    for (let byte = 0; byte < 200; byte += 9) {
      from.order({ kind: 'cut', at: { byte } });
      assert.ok((await failureOf(from)) instanceof ConnectionError, `byte ${byte}`);
    }
    from.order({ kind: 'cut', at: { message: 4, byte: 'end' } });
    const { ids, error } = await insertsOf(from);
    assert.deepEqual(ids, [1, 2]);
    assert.ok(error instanceof ConnectionError);
  });

  test('cut during the start', async () => {
    await using from = await sender(small().tape);
    for (const byte of [0, 1, 20, 200]) {
      from.order({ kind: 'cut', from: 'connection', at: { byte } });
      assert.ok((await failureOf(from)) instanceof ConnectionError, `byte ${byte}`);
    }
  });

  test('the server ends the COPY, or reports an error in it', async () => {
    await using ends = await sender(() => [{ kind: 'end' }]);
    assert.ok((await failureOf(ends)) instanceof ConnectionError);
    await using cuts = await sender(() => [{ kind: 'cut' }]);
    assert.ok((await failureOf(cuts)) instanceof ConnectionError);
    await using reports = await sender(() => [{ kind: 'error', sqlState: '58P01', message: 'segment removed' }]);
    const error = await failureOf(reports);
    assert.ok(error instanceof SlotError && error.reason === 'gap');
  });

  test('every connection is cut at once', async () => {
    const { tape } = small();
    await using from = await sender(tape);
    const lost = insertsOf(from);
    while (from.feedback.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    from.cutConnections();
    assert.ok((await lost).error instanceof ConnectionError);
  });
});

suite('silence', () => {
  const livenessTimeoutMs = 200;
  for (const at of [{ byte: 0 }, { byte: 40 }, { message: 3 }]) {
    test(`a stall at ${JSON.stringify(at)}`, async () => {
      const { tape } = small();
      await using from = await sender(tape, { faults: [{ kind: 'stall', at }] });
      const startedAt = performance.now();
      const error = await failureOf(from, { livenessTimeoutMs });
      assert.ok(error instanceof TimeoutError && error.phase === 'streaming', String(error));
      assert.ok(performance.now() - startedAt < 10_000);
      assert.deepEqual((await insertsOf(from, { stopLsn: tape.endLsn })).ids, [1, 2, 3], 'the slot is free again');
    });
  }

  test('half-open: the slot stays taken until somebody ends it', async () => {
    const { tape } = small();
    await using from = await sender(tape, { faults: [{ kind: 'freeze', at: { message: 3 } }] });
    assert.ok((await failureOf(from, { livenessTimeoutMs })) instanceof TimeoutError);
    const error = await failureOf(from);
    assert.ok(error instanceof SlotError && error.reason === 'in-use', String(error));
    from.cutConnections();
    assert.equal((await insertsOf(from, { stopLsn: tape.endLsn })).error, undefined);
  });

  test('during the start', async () => {
    await using from = await sender(small().tape);
    for (const byte of [0, 30]) {
      from.order({ kind: 'stall', from: 'connection', at: { byte } });
      const { host, port } = from;
      const connection = { host, port, user: 'test', database: 'test', connectTimeoutMs: 300 };
      assert.ok((await failureOf(from, { connection })) instanceof TimeoutError, `byte ${byte}`);
    }
  });
});

suite('refusals', () => {
  test('by SQLSTATE', async () => {
    await using from = await sender(small().tape);
    const outcome = async (fault: Omit<Extract<Fault, { kind: 'refuse' }>, 'kind'>) => {
      from.order({ kind: 'refuse', ...fault });
      const error = await failureOf(from);
      assert.ok(error instanceof WalStreamError);
      return [error.constructor, error.retryable];
    };
    assert.deepEqual(await outcome({ sqlState: '57P03' }), [ServerError, true]);
    assert.deepEqual(await outcome({ sqlState: '53300' }), [ServerError, true]);
    assert.deepEqual(await outcome({ sqlState: '3D000' }), [ServerError, false]);
    assert.deepEqual(await outcome({ sqlState: '28P01' }), [AuthenticationError, false]);
    assert.deepEqual(await outcome({}), [ConnectionError, true]);
  });

  test('so many times, for so long, and until called off', async () => {
    const { tape } = small();
    await using from = await sender(tape, { faults: [{ kind: 'refuse', times: 2, sqlState: '57P03' }] });
    await failureOf(from);
    await failureOf(from);
    assert.equal((await insertsOf(from, { stopLsn: tape.endLsn })).error, undefined);
    from.order({ kind: 'refuse', forMs: 60_000 });
    await failureOf(from);
    await failureOf(from);
    from.clearFaults();
    assert.equal((await insertsOf(from, { stopLsn: tape.endLsn })).error, undefined);
    from.order({ kind: 'refuse', forMs: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal((await insertsOf(from, { stopLsn: tape.endLsn })).error, undefined);
  });
});

suite('bytes that are not what they should be', () => {
  for (const length of [0, 1, 3, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    test(`a frame of length ${length}`, async () => {
      const faults: Fault[] = [{ kind: 'frameLength', message: 3, length }];
      await using from = await sender(small().tape, { faults });
      const { ids, error } = await insertsOf(from);
      assert.ok(error instanceof ProtocolError && !error.retryable, String(error));
      assert.deepEqual(ids, [1]);
    });
  }

  for (const length of [1_000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    test(`a column of length ${length}`, async () => {
      const faults: Fault[] = [{ kind: 'columnLength', message: 3, column: 1, length }];
      await using from = await sender(small().tape, { faults });
      const { ids, error } = await insertsOf(from);
      assert.ok(error instanceof DecodeError && error.offset >= 0 && error.tag === 'I', String(error));
      assert.deepEqual(ids, [1]);
    });
  }

  test('a fault where there is no such thing is the test’s own mistake', async () => {
    const from = await sender(small().tape, { faults: [{ kind: 'columnLength', message: 0, column: 0, length: 9 }] });
    await failureOf(from);
    await assert.rejects(from.close(), { code: 'ERR_CONFIGURATION', option: 'fault.message' });
  });

  test('a type byte of the frame, of the payload, and of the message', async () => {
    await using from = await sender(small().tape);
    const outcome = async (byte: number) => {
      from.order({ kind: 'corrupt', at: { message: 3, byte } });
      return (await failureOf(from)).constructor;
    };
    assert.equal(await outcome(0), ProtocolError);
    assert.equal(await outcome(HEADER_BYTES), ProtocolError);
    assert.equal(await outcome(HEADER_BYTES + 25), DecodeError);
  });

  test('bytes that were replaced are what the client sees', async () => {
    const { tape } = ordersTape(1);
    const replaceBy = Buffer.from('7');
    // The key is one digit: 'I' relationId 'N' count 't' length.
    const byte = HEADER_BYTES + 25 + 1 + 4 + 1 + 2 + 1 + 4;
    await using from = await sender(tape, { faults: [{ kind: 'corrupt', at: { message: 2, byte }, replaceBy }] });
    assert.deepEqual((await insertsOf(from, { stopLsn: tape.endLsn })).ids, [7]);
  });

  test('any byte but a frame’s length: a typed error, or events', async () => {
    const { tape } = small();
    await using from = await sender(tape);
    for (let seed = 1; seed <= 80; seed++) {
      const random = (seed * 2_654_435_761) >>> 0;
      const message = random % 8;
      const byte = HEADER_BYTES + ((random >>> 8) % 40);
      from.order({ kind: 'corrupt', at: { message, byte }, xor: 1 << (random >>> 29) });
      const { error } = await insertsOf(from, { stopLsn: tape.endLsn, ack: 'manual', livenessTimeoutMs: 1_000 });
      assert.ok(error === undefined || error instanceof WalStreamError, `message ${message} byte ${byte}: ${error}`);
      from.clearFaults();
    }
  });
});

suite('slices', () => {
  test('of every size, and of random sizes, give the same events', async () => {
    const { tape } = small();
    await using from = await sender(tape);
    const options = { stopLsn: tape.endLsn, ack: 'manual' } as const;
    const whole = await eventsOf(from, options);
    assert.equal(whole.length, 8);
    for (let bytes = 1; bytes <= 60; bytes += 3) {
      from.order({ kind: 'slice', bytes });
      assert.deepEqual(await eventsOf(from, options), whole, `${bytes} bytes`);
    }
    for (let seed = 1; seed <= 20; seed++) {
      from.order({ kind: 'slice', seed, maxBytes: seed * 5 });
      assert.deepEqual(await eventsOf(from, options), whole, `seed ${seed}`);
    }
  });

  test('two writes, cut at every byte of the stream', async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape);
    const options = { stopLsn: tape.endLsn, ack: 'manual' } as const;
    const whole = await eventsOf(from, options);
    assert.equal(whole.length, 4);
    // So long are its four messages.
    for (let at = 1; at <= 241; at++) {
      from.order({ kind: 'slice', at });
      assert.deepEqual(await eventsOf(from, options), whole, `byte ${at}`);
    }
  });
});
