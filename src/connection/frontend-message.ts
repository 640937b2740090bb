import { serialize } from 'pg-protocol';

/**
 * Messages to the server, encoded by pg-protocol.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export const FrontendMessage = {
  sslRequest: (): Uint8Array => serialize.requestSsl(),
  /** Protocol 3.0; client_encoding UTF8 is added. */
  startup: (parameters: Readonly<Record<string, string>>): Uint8Array => serialize.startup({ ...parameters }),
  password: (password: string): Uint8Array => serialize.password(password),
  saslInitialResponse: (mechanism: string, response: string): Uint8Array =>
    serialize.sendSASLInitialResponseMessage(mechanism, response),
  saslResponse: (response: string): Uint8Array => serialize.sendSCRAMClientFinalMessage(response),
  query: (sql: string): Uint8Array => serialize.query(sql),
  copyData: (payload: Buffer): Uint8Array => serialize.copyData(payload),
  copyDone: (): Uint8Array => serialize.copyDone(),
  copyFail: (reason: string): Uint8Array => serialize.copyFail(reason),
  cancelRequest: (processId: number, secretKey: number): Uint8Array => serialize.cancel(processId, secretKey),
  terminate: (): Uint8Array => serialize.end(),
} as const;
