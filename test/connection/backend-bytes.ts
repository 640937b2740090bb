/** Builds backend messages for tests. */
export function backendMessage(tag: string, ...parts: (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from(tag, 'latin1'), int32(body.length + 4), body]);
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** With its final NUL. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

export const AUTHENTICATION_OK: Buffer = backendMessage('R', int32(0));
export const READY_FOR_QUERY: Buffer = backendMessage('Z', Buffer.from('I'));

export function parameterStatus(name: string, value: string): Buffer {
  return backendMessage('S', text(name), text(value));
}

export function errorResponse(sqlState: string, message: string, severity = 'FATAL'): Buffer {
  return backendMessage('E', text(`S${severity}`), text(`C${sqlState}`), text(`M${message}`), [0]);
}

export function noticeResponse(sqlState: string, message: string, severity = 'NOTICE'): Buffer {
  return backendMessage('N', text(`S${severity}`), text(`C${sqlState}`), text(`M${message}`), [0]);
}

export const COPY_OUT_RESPONSE: Buffer = backendMessage('H', [0], int16(0));
export const COPY_DONE: Buffer = backendMessage('c');

/** A result set of text columns. */
export function resultSet(columns: readonly string[], ...rows: readonly (readonly (string | null)[])[]): Buffer {
  const field = (name: string) => [text(name), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)];
  const value = (one: string | null) =>
    one === null ? [int32(-1)] : [int32(Buffer.byteLength(one)), Buffer.from(one)];
  return Buffer.concat([
    backendMessage('T', int16(columns.length), ...columns.flatMap(field)),
    ...rows.map((row) => backendMessage('D', int16(row.length), ...row.flatMap(value))),
    backendMessage('C', text('SELECT')),
  ]);
}

/** All that an amiable server sends after the StartupMessage. */
export function sessionStart(version = '18.4'): Buffer {
  return Buffer.concat([
    AUTHENTICATION_OK,
    parameterStatus('server_version', version),
    backendMessage('K', int32(42), int32(4711)),
    READY_FOR_QUERY,
  ]);
}
