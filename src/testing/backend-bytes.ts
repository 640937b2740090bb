import { ByteWriter } from '../protocol/byte-writer.js';

/*
 * Messages that a server sends: tag:Byte1 length:Int32 body. Those of the COPY are in `protocol`.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

const LENGTH_BYTES = 4;
const TEXT_OID = 25;

export const AUTHENTICATION_OK: Buffer = authenticationRequest(0);
export const AUTHENTICATION_CLEARTEXT: Buffer = authenticationRequest(3);
export const READY_FOR_QUERY: Buffer = backendMessage('Z', (body) => body.bytes(Buffer.from('I'), 'status'));
export const COPY_DONE: Buffer = backendMessage('c');
export const EMPTY_QUERY: Buffer = backendMessage('I');
/** CopyBothResponse: 'W' length:Int32 format:Int8 columnCount:Int16 */
export const COPY_BOTH: Buffer = backendMessage('W', (body) => {
  body.uint8(0, 'format');
  body.uint16(0, 'columnCount');
});

/** CopyOutResponse: 'H' length:Int32 format:Int8 columnCount:Int16 */
export const COPY_OUT: Buffer = backendMessage('H', (body) => {
  body.uint8(0, 'format');
  body.uint16(0, 'columnCount');
});

export function backendMessage(tag: string, write: (body: ByteWriter) => void = () => {}): Buffer {
  const writer = new ByteWriter();
  write(writer);
  const body = writer.take();
  const out = new ByteWriter();
  out.bytes(Buffer.from(tag, 'latin1'), 'tag');
  out.int32(body.length + LENGTH_BYTES, 'length');
  out.bytes(body, 'body');
  return out.take();
}

/** 10: SASL, 11: SASLContinue, 12: SASLFinal. */
export function authenticationRequest(code: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return backendMessage('R', (body) => {
    body.int32(code, 'code');
    body.bytes(data, 'data');
  });
}

export function parameterStatus(name: string, value: string): Buffer {
  return backendMessage('S', (body) => {
    body.cString(name, 'name');
    body.cString(value, 'value');
  });
}

export function backendKeyData(processId: number, secretKey: number): Buffer {
  return backendMessage('K', (body) => {
    body.int32(processId, 'processId');
    body.uint32(secretKey, 'secretKey');
  });
}

/** NegotiateProtocolVersion: only 3.0, and none of the options. */
export function protocolVersion30(unknownOptions: readonly string[]): Buffer {
  return backendMessage('v', (body) => {
    body.int32(0x3_0000, 'version');
    body.int32(unknownOptions.length, 'options.length');
    for (const option of unknownOptions) body.cString(option, 'option');
  });
}

export interface Report {
  readonly sqlState: string;
  readonly message: string;
  readonly detail?: string;
}

export const QUERY_CANCELED: Report = { sqlState: '57014', message: 'canceling statement due to user request' };

export function errorResponse(report: Report, severity: 'ERROR' | 'FATAL' = 'ERROR'): Buffer {
  return reportMessage('E', severity, report);
}

export function noticeResponse(report: Report): Buffer {
  return reportMessage('N', 'WARNING', report);
}

function reportMessage(tag: string, severity: string, { sqlState, message, detail }: Report): Buffer {
  const fields: Readonly<Record<string, string | undefined>> = {
    S: severity,
    V: severity,
    C: sqlState,
    M: message,
    D: detail,
  };
  return backendMessage(tag, (body) => {
    for (const [field, text] of Object.entries(fields)) {
      if (text !== undefined) body.cString(`${field}${text}`, 'message');
    }
    body.uint8(0, 'end');
  });
}

export function commandComplete(command: string): Buffer {
  return backendMessage('C', (body) => body.cString(command, 'command'));
}

/** One statement's result: every value is text, or null. */
export interface FakeResult {
  /** Names; none for a statement without a result. */
  readonly columns: readonly string[];
  /** Values as text, in the order of `columns`. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** The command tag; default `SELECT n`. */
  readonly command?: string;
}

/** RowDescription, DataRow*, CommandComplete; the last alone for a statement without columns. */
export function resultMessages({ columns, rows, command = `SELECT ${rows.length}` }: FakeResult): Buffer {
  if (columns.length === 0) return commandComplete(command);
  const description = backendMessage('T', (body) => {
    body.uint16(columns.length, 'columns.length');
    for (const name of columns) {
      body.cString(name, 'column');
      body.uint32(0, 'tableOid');
      body.uint16(0, 'columnNumber');
      body.uint32(TEXT_OID, 'typeOid');
      body.uint16(0xffff, 'typeSize');
      body.int32(-1, 'typeModifier');
      body.uint16(0, 'format');
    }
  });
  const dataRows = rows.map((values) =>
    backendMessage('D', (body) => {
      body.uint16(values.length, 'values.length');
      for (const value of values) {
        if (value === null) body.int32(-1, 'length');
        else body.sizedBytes(Buffer.from(value), 'value');
      }
    }),
  );
  return Buffer.concat([description, ...dataRows, commandComplete(command)]);
}
