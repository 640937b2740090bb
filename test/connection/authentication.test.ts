import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { test } from 'node:test';
import { MAX_SCRAM_ITERATIONS } from '../../src/connection/password-hash.js';
import { AuthenticationError, ConfigurationError, ConnectionError, ProtocolError } from '../../src/errors.js';
import { AUTHENTICATION_OK, backendMessage, int32, sessionStart, text } from './backend-bytes.js';
import { type ClientBytes, connectTo, fakeServer, type Script } from './fake-server.js';

const SALT = Buffer.from('0123456789abcdef');
const PASSWORD = 'secret';

const sasl = (...mechanisms: string[]) => backendMessage('R', int32(10), ...mechanisms.map(text), [0]);
const saslContinue = (data: string) => backendMessage('R', int32(11), Buffer.from(data));
const saslFinal = (data: string) => backendMessage('R', int32(12), Buffer.from(data));
const hmac = (key: Buffer, data: string) => createHmac('sha256', key).update(data).digest();

interface ScramFaults {
  readonly mechanisms?: readonly string[];
  readonly iterations?: number;
  readonly nonce?: (clientNonce: string) => string;
  /** What follows the client's proof. */
  readonly ending?: (signature: string) => Uint8Array[];
}

/** RFC 5802 from the server's side, with faults. */
function scramServer(faults: ScramFaults): Script {
  return async (client: ClientBytes) => {
    await client.readStartup();
    client.send(sasl(...(faults.mechanisms ?? ['SCRAM-SHA-256'])));
    const initial = (await client.readMessage()).body.toString('latin1');
    const clientFirst = initial.slice(initial.indexOf('n=*'));
    const clientNonce = clientFirst.slice(clientFirst.indexOf('r=') + 2);
    const iterations = faults.iterations ?? 4096;
    const nonce = faults.nonce?.(clientNonce) ?? `${clientNonce}server`;
    const serverFirst = `r=${nonce},s=${SALT.toString('base64')},i=${iterations}`;
    client.send(saslContinue(serverFirst));
    const final = (await client.readMessage()).body.toString();
    const salted = pbkdf2Sync(PASSWORD, SALT, iterations, 32, 'sha256');
    const message = `${clientFirst},${serverFirst},${final.slice(0, final.indexOf(',p='))}`;
    const signature = hmac(hmac(salted, 'Server Key'), message).toString('base64');
    const ending = faults.ending ?? ((good: string) => [saslFinal(`v=${good}`), sessionStart()]);
    client.send(...ending(signature));
  };
}

test('SCRAM-SHA-256 against the RFC', async (t) => {
  const port = await fakeServer(t, scramServer({}));
  const connection = await connectTo(port, { password: PASSWORD, requireAuth: 'scram-sha-256' });
  assert.equal(connection.processId, 42);
});

test('a server that does not prove itself is refused', async (t) => {
  const forged = createHash('sha256').update('forged').digest('base64');
  const cases: [string, ScramFaults, RegExp][] = [
    ['skips its final message', { ending: () => [sessionStart()] }, /without proving/],
    ['forges its signature', { ending: () => [saslFinal(`v=${forged}`), sessionStart()] }, /signature does not match/],
    ['sends no signature', { ending: () => [saslFinal('x=1'), sessionStart()] }, /signature is missing/],
    ['reports an error', { ending: () => [saslFinal('e=other-error')] }, /other-error/],
    ['uses another nonce', { nonce: () => 'another' }, /nonce/],
    ['adds nothing to the nonce', { nonce: (nonce) => nonce }, /nonce is too short/],
    ['asks for endless work', { iterations: MAX_SCRAM_ITERATIONS + 1 }, /iteration count/],
    ['offers unknown mechanisms', { mechanisms: ['OAUTHBEARER'] }, /mechanism/i],
    ['offers none', { mechanisms: [] }, /mechanism/i],
    ['offers channel binding without TLS only', { mechanisms: ['SCRAM-SHA-256-PLUS'] }, /mechanism/i],
  ];
  for (const [what, faults, message] of cases) {
    const port = await fakeServer(t, scramServer(faults));
    await assert.rejects(connectTo(port, { password: PASSWORD }), (error: Error) => {
      assert.ok(error instanceof AuthenticationError, `${what}: ${error}`);
      assert.match(error.message, message, what);
      assert.equal(error.method, 'scram-sha-256');
      return true;
    });
  }
});

test('requests out of order are refused', async (t) => {
  const md5 = backendMessage('R', int32(5), [1, 2, 3, 4]);
  const cleartext = backendMessage('R', int32(3));
  const sequences: [string, Uint8Array[]][] = [
    ['a second method after the first', [md5, cleartext]],
    ['the same method twice: the password would be sent twice', [cleartext, cleartext]],
    ['SASL data before SASL', [saslContinue('r=x,s=eA==,i=1')]],
    ['the end before the beginning', [saslFinal('v=x')]],
    ['the end before the proof', [sasl('SCRAM-SHA-256'), saslFinal('v=x')]],
  ];
  for (const [what, messages] of sequences) {
    const port = await fakeServer(t, async (client) => {
      await client.readStartup();
      client.send(...messages);
    });
    await assert.rejects(connectTo(port, { password: PASSWORD }), ProtocolError, what);
  }
  const skipping = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sasl('SCRAM-SHA-256'), AUTHENTICATION_OK);
  });
  await assert.rejects(connectTo(skipping, { password: PASSWORD }), /without proving/);
});

test('a query that cannot be cancelled costs the connection, within a bound', async (t) => {
  const port = await fakeServer(t, async (client) => {
    const startup = await client.readStartup();
    // 80877102 is a cancel request: taken, and ignored.
    if (startup.readInt32BE(0) === 80877102) client.socket.end();
    else client.send(sessionStart());
  });
  const connection = await connectTo(port);
  const reason = new Error('enough');
  const signal = AbortSignal.timeout(50);
  const controller = new AbortController();
  signal.addEventListener('abort', () => controller.abort(reason));
  const started = performance.now();
  await assert.rejects(connection.query('select 1', { signal: controller.signal }), (error) => error === reason);
  assert.ok(performance.now() - started < 30_000);
  await assert.rejects(connection.query('select 1'));
  await connection.close();
});

test('a cancel request goes to the same server with the same key', async (t) => {
  let cancelled: Buffer | undefined;
  const port = await fakeServer(t, async (client) => {
    const startup = await client.readStartup();
    if (startup.readInt32BE(0) === 80877102) {
      cancelled = startup;
      client.socket.end();
    } else {
      client.send(sessionStart());
    }
  });
  await (await connectTo(port)).cancel();
  assert.deepEqual(cancelled, Buffer.concat([int32(80877102), int32(42), int32(4711)]));

  const keyless = await fakeServer(t, async (client) => {
    await client.readStartup();
    const [ok, rest] = [sessionStart().subarray(0, 9), sessionStart()];
    client.send(ok, rest.subarray(9, rest.length - 19), rest.subarray(rest.length - 6));
  });
  await assert.rejects((await connectTo(keyless)).cancel(), ConnectionError);
});

test('a NUL in a password would cut it off: refused', async (t) => {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(backendMessage('R', int32(3)));
  });
  assert.throws(() => connectTo(port, { password: 'a\0b' }), ConfigurationError);
  await assert.rejects(connectTo(port, { password: () => 'a\0b' }), AuthenticationError);
});

test('garbage in a query ends the connection with a ProtocolError', async (t) => {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sessionStart());
    await client.readMessage();
    client.send(Buffer.from('\x01\x02\x03\x04\x05\x06'));
  });
  const connection = await connectTo(port);
  await assert.rejects(connection.query('select 1'), ProtocolError);
  await assert.rejects(connection.query('select 1'), ProtocolError);
});
