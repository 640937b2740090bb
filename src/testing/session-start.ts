import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  AUTHENTICATION_CLEARTEXT,
  AUTHENTICATION_OK,
  authenticationRequest,
  backendKeyData,
  errorResponse,
  parameterStatus,
  protocolVersion30,
  READY_FOR_QUERY,
  type Report,
} from './backend-bytes.js';
import { type ClientBytes, startupParameters, textOf } from './client-bytes.js';
import type { FaultPlan } from './fault-plan.js';
import type { FaultWriter } from './fault-writer.js';
import { SCRAM_SHA_256, ScramVerifier } from './scram-verifier.js';
import type { ResolvedSenderOptions } from './sender-options.js';

/*
 * How a session begins: SSLRequest, StartupMessage, authentication, parameters, ReadyForQuery.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */

/** First byte of a TLS connection that asks for no permission (sslnegotiation=direct). */
const TLS_HANDSHAKE = 0x16;
const CANCEL_REQUEST = 80877102;
const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;
const PROTOCOL_3 = 3;

/** Whom a session belongs to. */
export interface SessionIdentity {
  readonly user: string;
  readonly database: string;
  /** Whether it asked for replication. */
  readonly isWalSender: boolean;
}

/** What a start needs to know of the sender. */
export interface StartState {
  readonly options: ResolvedSenderOptions;
  readonly faults: FaultPlan;
  cancel(processId: number, secretKey: number): void;
}

interface Start {
  readonly client: ClientBytes;
  readonly writer: FaultWriter;
  readonly key: { readonly processId: number; readonly secretKey: number };
  readonly state: StartState;
}

/** `undefined` when there is no session: the client was refused, has gone, or had only something to cancel. */
export async function startSession(
  socket: Socket,
  client: ClientBytes,
  writer: FaultWriter,
  key: Start['key'],
  state: StartState,
): Promise<SessionIdentity | undefined> {
  const { tls } = state.options;
  const encrypt = () => {
    // Without a certificate the handshake fails, as it does on a server that speaks no TLS.
    const secure = new TLSSocket(socket, { isServer: true, ...tls, ALPNProtocols: ['postgresql'] });
    secure.on('error', () => socket.destroy());
    client.switchTo(secure);
    writer.switchTo(secure);
  };
  if ((await client.peek()) === TLS_HANDSHAKE) encrypt();
  for (;;) {
    const request = await client.startup();
    if (request === undefined) return undefined;
    const code = request.readUInt32BE(0);
    if (code === SSL_REQUEST) {
      await writer.send(Buffer.from(tls === undefined ? 'N' : 'S'));
      if (tls !== undefined && !writer.silent) encrypt();
    } else if (code === GSSENC_REQUEST) {
      await writer.send(Buffer.from('N'));
    } else if (code === CANCEL_REQUEST && request.length >= 12) {
      state.cancel(request.readInt32BE(4), request.readUInt32BE(8));
      return undefined;
    } else if (code >>> 16 === PROTOCOL_3) {
      return openSession({ client, writer, key, state }, code & 0xffff, startupParameters(request.subarray(4)));
    } else {
      return refuse(writer, { sqlState: '0A000', message: `unsupported frontend protocol ${code >>> 16}` });
    }
  }
}

async function openSession(
  start: Start,
  minor: number,
  parameters: ReadonlyMap<string, string>,
): Promise<SessionIdentity | undefined> {
  const { writer, key, state } = start;
  const user = parameters.get('user') ?? '';
  const isWalSender = /^(?:database|true|on|yes|1)$/.test(parameters.get('replication') ?? '');
  const refusal = state.faults.takeRefusal('at-startup');
  if (refusal !== undefined) {
    const { sqlState = '', message = 'the test refuses this connection' } = refusal;
    return refuse(writer, { sqlState, message });
  }
  const protocolOptions = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  if (minor > 0 || protocolOptions.length > 0) await writer.send(protocolVersion30(protocolOptions));
  if (!(await authenticate(start, user))) return undefined;
  const reported = {
    server_version: state.options.serverVersion,
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    application_name: parameters.get('application_name') ?? '',
    session_authorization: user,
    is_superuser: 'on',
    in_hot_standby: 'off',
    default_transaction_read_only: 'off',
    DateStyle: 'ISO, MDY',
    IntervalStyle: 'postgres',
    TimeZone: parameters.get('TimeZone') ?? 'UTC',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
  };
  await writer.send(AUTHENTICATION_OK);
  for (const [name, value] of Object.entries(reported)) await writer.send(parameterStatus(name, value));
  await writer.send(backendKeyData(key.processId, key.secretKey));
  await writer.send(READY_FOR_QUERY);
  return { user, database: parameters.get('database') ?? user, isWalSender };
}

/** Whether the client is who it says. */
async function authenticate({ client, writer, state }: Start, user: string): Promise<boolean> {
  const { auth, password = '' } = state.options;
  const wrongPassword = { sqlState: '28P01', message: `password authentication failed for user "${user}"` };
  switch (auth) {
    case 'trust':
      return true;
    case 'password': {
      await writer.send(AUTHENTICATION_CLEARTEXT);
      const answer = await client.message();
      if (answer !== undefined && textOf(answer.body) === password) return true;
      await refuse(writer, wrongPassword);
      return false;
    }
    case 'scram-sha-256': {
      const verifier = new ScramVerifier(password);
      await writer.send(authenticationRequest(10, Buffer.from(`${SCRAM_SHA_256}\0\0`)));
      const initial = (await client.message())?.body;
      // SASLInitialResponse: mechanism:String length:Int32 response
      const challenge = initial && verifier.challenge(initial.toString('latin1', textOf(initial).length + 5));
      if (challenge === undefined) {
        await refuse(writer, { sqlState: '28000', message: 'malformed SCRAM message' });
        return false;
      }
      await writer.send(authenticationRequest(11, Buffer.from(challenge)));
      const final = (await client.message())?.body;
      const signature = final && verifier.verify(final.toString('latin1'));
      if (signature === undefined) {
        await refuse(writer, wrongPassword);
        return false;
      }
      await writer.send(authenticationRequest(12, Buffer.from(signature)));
      return true;
    }
    default:
      return auth satisfies never;
  }
}

async function refuse(writer: FaultWriter, report: Report): Promise<undefined> {
  await writer.send(errorResponse(report, 'FATAL'));
}
