import type {
  AuthenticationMD5Password,
  BackendKeyDataMessage,
  CommandCompleteMessage,
  CopyDataMessage,
  DatabaseError,
  DataRowMessage,
  NoticeMessage,
  ParameterStatusMessage,
  BackendMessage as ParsedMessage,
  ReadyForQueryMessage,
  RowDescriptionMessage,
} from 'pg-protocol/dist/messages.js';
import { Parser } from 'pg-protocol/dist/parser.js';
import { ProtocolError } from '../errors.js';
import type { AuthenticationRequest, BackendMessage, ErrorFields } from './backend-message.js';

/** Type byte and length, which counts itself. */
export const MESSAGE_HEADER_BYTES = 5;

/**
 * Longest message taken outside a COPY stream. The length is the server's claim, and up to 2 GiB would be allocated
 * before the first byte of it had come.
 */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

const ROW_DESCRIPTION = 0x54; // T
const DATA_ROW = 0x44; // D
const AUTHENTICATION = 0x52; // R
const ERROR_RESPONSE = 0x45; // E
const NOTICE_RESPONSE = 0x4e; // N

/** Every type byte that a server may send to this client: R S K Z E N A T D C I G H W c d. */
const KNOWN_TYPES: ReadonlySet<number> = new Set(Buffer.from('RSKZENATDCIGHWcd', 'latin1'));

/**
 * Decodes one whole backend message, header included. Strings and payloads of the result are copies, so the bytes may
 * be reused at once. Throws {@link ProtocolError} for a type that no server sends and for a body that is not what its
 * type promises.
 *
 * The decoding is pg-protocol's. It trusts the server in places: an ErrorResponse without its last NUL makes it spin for
 * ever, an unknown authentication request of a wrong length reads as success, and an unknown type reads as an error of
 * the server. Those are checked here first.
 */
export function parseBackendMessage(message: Uint8Array): BackendMessage {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const type = bytes[0] ?? 0;
  checkMessageType(type);
  if (bytes.length < MESSAGE_HEADER_BYTES || bytes.readUInt32BE(1) !== bytes.length - 1) {
    throw malformed(type, 'a length that does not fit');
  }
  if (type === AUTHENTICATION) return { name: 'authentication', request: parseAuthentication(bytes) };
  if (type === ERROR_RESPONSE || type === NOTICE_RESPONSE) checkErrorFields(bytes);
  if (type === DATA_ROW) checkDataRow(bytes);
  return convert(parseWith(bytes), bytes.length);
}

/** Throws {@link ProtocolError} when no backend message has this type byte. */
export function checkMessageType(type: number): void {
  if (!KNOWN_TYPES.has(type)) {
    throw new ProtocolError(`the server sent an unknown message type 0x${type.toString(16).padStart(2, '0')}`, {
      offset: 0,
      tag: tagOf(type),
    });
  }
}

function parseWith(bytes: Buffer): ParsedMessage {
  let parsed: ParsedMessage | undefined;
  try {
    // A parser of its own for each message: one that has thrown keeps the bytes it stumbled over.
    new Parser().parse(bytes, (message) => {
      parsed = message;
    });
  } catch (cause) {
    throw malformed(bytes[0] ?? 0, 'a body that cannot be read', cause);
  }
  if (parsed === undefined) throw malformed(bytes[0] ?? 0, 'an incomplete body');
  return parsed;
}

// The casts below follow pg-protocol's `name`, which is its discriminant although its types do not say so.
function convert(parsed: ParsedMessage, bytes: number): BackendMessage {
  switch (parsed.name) {
    case 'parameterStatus': {
      const { parameterName, parameterValue } = parsed as ParameterStatusMessage;
      return { name: 'parameterStatus', parameter: parameterName, value: parameterValue };
    }
    case 'backendKeyData': {
      const { processID, secretKey } = parsed as BackendKeyDataMessage;
      return { name: 'backendKeyData', processId: processID, secretKey };
    }
    case 'readyForQuery':
      return { name: 'readyForQuery', status: transactionStatus((parsed as ReadyForQueryMessage).status) };
    case 'error':
      return { name: 'errorResponse', fields: errorFields(parsed as DatabaseError) };
    case 'notice':
      return { name: 'noticeResponse', fields: errorFields(parsed as NoticeMessage) };
    case 'notification':
      return { name: 'notificationResponse' };
    case 'rowDescription':
      return { name: 'rowDescription', columns: (parsed as RowDescriptionMessage).fields.map((field) => field.name) };
    case 'dataRow':
      return { name: 'dataRow', values: (parsed as DataRowMessage).fields as (string | null)[], bytes };
    case 'commandComplete':
      return { name: 'commandComplete', command: (parsed as CommandCompleteMessage).text };
    case 'emptyQuery':
      return { name: 'emptyQueryResponse' };
    case 'copyInResponse':
      return { name: 'copyInResponse' };
    case 'copyOutResponse':
      return { name: 'copyOutResponse' };
    case 'replicationStart':
      return { name: 'copyBothResponse' };
    case 'copyDone':
      return { name: 'copyDone' };
    case 'copyData':
      return { name: 'copyData', payload: Uint8Array.from((parsed as CopyDataMessage).chunk) };
    default:
      throw new ProtocolError(`the server sent an unexpected message: ${parsed.name}`, { offset: 0 });
  }
}

/*
 * AuthenticationRequest: 'R', Int32 length, Int32 kind, then by kind:
 *   0 Ok · 3 CleartextPassword · 5 MD5Password Byte4 salt · 10 SASL { String mechanism } NUL ·
 *   11 SASLContinue bytes · 12 SASLFinal bytes · 2, 6, 7, 8, 9 Kerberos, SCM, GSSAPI, SSPI
 */
function parseAuthentication(bytes: Buffer): AuthenticationRequest {
  if (bytes.length < 9) throw malformed(AUTHENTICATION, 'a body that is too short');
  const kind = bytes.readInt32BE(MESSAGE_HEADER_BYTES);
  const wholeLength = AUTHENTICATION_LENGTHS[kind];
  if (wholeLength !== undefined && bytes.length !== wholeLength) throw malformed(AUTHENTICATION, 'a wrong length');
  switch (kind) {
    case 0:
      return { method: 'ok' };
    case 3:
      return { method: 'password' };
    case 5:
      return { method: 'md5', salt: Uint8Array.from((parseWith(bytes) as AuthenticationMD5Password).salt) };
    case 10:
      return { method: 'sasl', mechanisms: (parseWith(bytes) as ParsedMessage & { mechanisms: string[] }).mechanisms };
    case 11:
      return { method: 'sasl-continue', data: bytes.toString('utf8', 9) };
    case 12:
      return { method: 'sasl-final', data: bytes.toString('utf8', 9) };
    case 7:
    case 8:
      return { method: 'unsupported', title: 'GSSAPI' };
    case 9:
      return { method: 'unsupported', title: 'SSPI' };
    default:
      return { method: 'unsupported', title: `authentication request ${kind}` };
  }
}

/** Whole message lengths of the requests that have a fixed one. */
const AUTHENTICATION_LENGTHS: Readonly<Record<number, number>> = { 0: 9, 3: 9, 5: 13 };

/** { Byte1 field type, String } until a NUL instead of a type, which must be the last byte. */
function checkErrorFields(bytes: Buffer): void {
  let offset = MESSAGE_HEADER_BYTES;
  while (offset < bytes.length && bytes[offset] !== 0) {
    const end = bytes.indexOf(0, offset + 1);
    if (end === -1) break;
    offset = end + 1;
  }
  if (bytes[offset] !== 0 || offset !== bytes.length - 1) throw malformed(bytes[0] ?? 0, 'fields without an end');
}

/** Int16 columns, then for each Int32 length (-1 is null) and as many bytes, up to the very end. */
function checkDataRow(bytes: Buffer): void {
  let offset = MESSAGE_HEADER_BYTES + 2;
  const columns = bytes.length < offset ? -1 : bytes.readInt16BE(MESSAGE_HEADER_BYTES);
  for (let column = 0; column < columns && offset + 4 <= bytes.length; column++) {
    const length = bytes.readInt32BE(offset);
    if (length < -1) throw malformed(DATA_ROW, 'a negative column length');
    offset += 4 + Math.max(length, 0);
  }
  if (columns < 0 || offset !== bytes.length) throw malformed(DATA_ROW, 'columns that do not fill it');
}

function transactionStatus(status: string): 'idle' | 'transaction' | 'failed' {
  if (status === 'I') return 'idle';
  if (status === 'T') return 'transaction';
  if (status === 'E') return 'failed';
  throw new ProtocolError('ReadyForQuery carries an unknown transaction status', {
    offset: MESSAGE_HEADER_BYTES,
    tag: 'Z',
  });
}

function errorFields(parsed: DatabaseError | NoticeMessage): ErrorFields {
  return {
    severity: parsed.severity ?? 'ERROR',
    sqlState: parsed.code ?? 'XX000',
    message: parsed.message || 'no message',
    detail: parsed.detail,
    hint: parsed.hint,
    where: parsed.where,
  };
}

function tagOf(type: number): string {
  return String.fromCharCode(type);
}

function malformed(type: number, what: string, cause?: unknown): ProtocolError {
  const name = type === ROW_DESCRIPTION ? 'RowDescription' : `message '${tagOf(type)}'`;
  return new ProtocolError(`the server sent a ${name} with ${what}`, {
    offset: MESSAGE_HEADER_BYTES,
    tag: tagOf(type),
    cause,
  });
}
