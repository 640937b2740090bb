import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConfigurationError, ProtocolError } from '../../src/errors.js';
import { Lsn } from '../../src/lsn.js';
import { parseRecording, RecordingWriter } from '../../src/protocol/recording.js';
import { WalStream } from '../../src/stream/wal-stream.js';
import { FakeWalSender, savepoint } from '../../src/testing/index.js';
import { Run, runToEnd } from '../cli/command-line.js';
import { eventsOf, failureOf, insertsOf, ordersTape, SLOT, sender } from './events.js';

const HEADER = { serverVersion: 180004, systemId: '7', timeline: 3, database: 'd', slot: SLOT, publications: [SLOT] };

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'recording-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

/** Records the fake sender's tape with the command line. */
async function record(from: FakeWalSender, path: string, ...more: string[]) {
  const args = ['stream', '-d', from.connectionString(), '-S', SLOT, '--publication', SLOT, '--record', path, ...more];
  return runToEnd(args);
}

suite('the file', () => {
  function recorded(): Buffer {
    const writer = new RecordingWriter(HEADER);
    writer.addKeepalive({ serverWalEnd: 5n, serverTimeUs: 1n, replyRequested: false });
    const first = writer.take();
    writer.addXLogData({ walStart: 6n, serverWalEnd: 6n, serverTimeUs: 2n }, Buffer.from('data'));
    assert.equal(writer.messageCount, 2);
    return Buffer.concat([first, writer.finish()]);
  }

  test('is read as it was written', () => {
    const { header, copyData, messageCount } = parseRecording(recorded());
    assert.deepEqual(header, HEADER);
    assert.equal(messageCount, 2);
    assert.equal(copyData.length, 5 + 18 + 5 + 25 + 4);
  });

  test('cut off anywhere, or longer than it was, it is refused', () => {
    const whole = recorded();
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => parseRecording(whole.subarray(0, length)), ProtocolError, `${length} bytes`);
    }
    assert.throws(() => parseRecording(Buffer.concat([whole, whole])), ProtocolError);
  });

  test('any bit that is flipped in what frames it is a typed error', () => {
    const whole = recorded();
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 0x80;
      try {
        parseRecording(flipped);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `byte ${at}: ${error}`);
      }
    }
  });
});

suite('replay', () => {
  test('gives the same events as the recorded stream, also from the middle on', async (t) => {
    const path = join(await folder(t), 'orders.rec');
    const { tape, orders, transactions } = ordersTape(2, 1, 3);
    tape.message('alone', 'content');
    tape.transaction([orders.delete({ id: 1 })]);
    await using from = await sender(tape);
    const run = await record(from, path, '--stop-lsn', Lsn.format(tape.endLsn));
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.stdout, '');
    assert.equal(from.slot(SLOT)?.confirmedFlushLsn, tape.endLsn, 'what was recorded is acknowledged');

    await using again = await sender(tape);
    await using replay = await FakeWalSender.fromRecording(path);
    const options = { messages: true, stopLsn: tape.endLsn } as const;
    const expected = await eventsOf(again, { ...options, ack: 'manual' });
    assert.deepEqual(await eventsOf(replay, { ...options, ack: 'manual' }), expected);

    const startLsn = transactions[1]?.commitEndLsn ?? 0n;
    const rest = await eventsOf(again, { ...options, startLsn });
    assert.ok(rest.length < expected.length && rest.some((text) => text.includes('"relation"')));
    const ends = (texts: string[]) => texts.map((text) => JSON.parse(text));
    assert.deepEqual(ends(await eventsOf(replay, { ...options, startLsn })), ends(rest));
  });

  test('of transactions in progress and prepared ones, for clients that can take them', async (t) => {
    const path = join(await folder(t), 'streamed.rec');
    const { tape, insert } = ordersTape(1);
    tape.transaction([insert(), savepoint([insert()], 'rolledBack'), insert()], { large: true });
    tape.prepare('gid', [insert(), insert()], { large: true });
    tape.commitPrepared('gid');
    const slots = [{ name: SLOT, twoPhase: true }];
    await using from = await sender(tape, { slots });
    const stop = Lsn.format(tape.endLsn);
    const run = await record(from, path, '--stop-lsn', stop, '--streaming', 'on', '--two-phase');
    assert.equal(run.code, 0, run.stderr);
    assert.equal(from.slot(SLOT)?.confirmedFlushLsn, tape.endLsn);

    await using again = await sender(tape, { slots });
    await using replay = await FakeWalSender.fromRecording(path, { slots });
    const options = { streaming: 'on', twoPhase: true, stopLsn: tape.endLsn, ack: 'manual' } as const;
    const expected = await eventsOf(again, options);
    assert.ok(expected.some((text) => text.includes('"streamPrepare"')));
    assert.deepEqual(await eventsOf(replay, options), expected);
    const startLsn = JSON.parse(expected.find((text) => text.includes('"kind":"commit"')) ?? '{}').commitEndLsn;
    const further = { ...options, startLsn: Lsn.parse(startLsn) };
    assert.deepEqual(await eventsOf(replay, further), await eventsOf(again, further));
    const error = await failureOf(replay, { twoPhase: true, stopLsn: tape.endLsn });
    assert.match(error.message, /must ask for streaming/);
  });

  test('bulk: everything, in large writes, in a process of its own', async (t) => {
    const path = join(await folder(t), 'bulk.rec');
    const { tape } = ordersTape(20_000, 20_000, 1);
    await using from = await sender(tape);
    assert.equal((await record(from, path, '--stop-lsn', Lsn.format(tape.endLsn))).code, 0);
    const program = fileURLToPath(new URL('../../src/testing/replay-process.js', import.meta.url));
    const child = spawn(process.execPath, [program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [line] = await once(child.stdout.setEncoding('utf8'), 'data');
    const connection = { host: '127.0.0.1', port: Number(line), user: 'test', database: 'test' };
    const stream = new WalStream({
      connection,
      slot: SLOT,
      publications: SLOT,
      workers: 1,
      stopLsn: tape.endLsn,
      // The sender answers all the time.
      feedbackIntervalMs: 10,
    });
    let changes = 0;
    for await (const batch of stream.batches()) for (const event of batch) if (event.kind === 'insert') changes++;
    assert.equal(changes, 40_001);
    child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
  });

  test('a file that is none, or not whole', async (t) => {
    const path = join(await folder(t), 'broken.rec');
    await assert.rejects(FakeWalSender.fromRecording(path), { code: 'ERR_CONFIGURATION', option: 'recording' });
    await writeFile(path, 'something else');
    await assert.rejects(FakeWalSender.fromRecording(path), ConfigurationError);
    const writer = new RecordingWriter(HEADER);
    await writeFile(path, writer.take());
    await assert.rejects(FakeWalSender.fromRecording(path), /not complete/);
  });
});

suite('stream --record', () => {
  test('is stopped by a signal, and the recording is whole', async (t) => {
    const path = join(await folder(t), 'live.rec');
    const { tape, insert } = ordersTape(2);
    await using from = await sender(tape);
    const args = [
      'stream',
      '-d',
      from.connectionString(),
      '-S',
      SLOT,
      '--publication',
      SLOT,
      '--record',
      path,
      '--stats',
    ];
    await using run = new Run(args);
    const slot = from.slot(SLOT);
    await slot?.confirmed(tape.endLsn);
    await slot?.confirmed(tape.transaction([insert()]).commitEndLsn);
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /3 changes in 2 transactions/);
    await using replay = await FakeWalSender.fromRecording(path);
    assert.deepEqual((await insertsOf(replay, { stopLsn: tape.endLsn })).ids, [1, 2, 3]);
  });

  test('does not overwrite a file', async (t) => {
    const path = join(await folder(t), 'there.rec');
    await writeFile(path, 'precious');
    await using from = await sender(ordersTape(1).tape);
    const { code, stderr } = await record(from, path);
    assert.equal(code, 1);
    assert.match(stderr, /^pg-walstream: .*exists.*\n$/);
    assert.equal(await readFile(path, 'utf8'), 'precious');
  });

  test('does not go with what chooses or shapes events', async () => {
    const args = ['stream', '-S', 's', '--publication', 'p', '--record', 'f', '--format', 'jsonl'];
    const { code, stderr } = await runToEnd(args);
    assert.equal(code, 2);
    assert.match(stderr, /--record.*--format/);
  });
});
