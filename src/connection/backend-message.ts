/**
 * What the server sends outside CopyData, decoded. Names follow the protocol's.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export type BackendMessage =
  | { readonly name: 'authentication'; readonly request: AuthenticationRequest }
  | { readonly name: 'parameterStatus'; readonly parameter: string; readonly value: string }
  | { readonly name: 'backendKeyData'; readonly processId: number; readonly secretKey: number }
  | { readonly name: 'readyForQuery'; readonly status: 'idle' | 'transaction' | 'failed' }
  | { readonly name: 'errorResponse'; readonly fields: ErrorFields }
  | { readonly name: 'noticeResponse'; readonly fields: ErrorFields }
  | { readonly name: 'notificationResponse' }
  | { readonly name: 'rowDescription'; readonly columns: readonly string[] }
  | { readonly name: 'dataRow'; readonly values: readonly (string | null)[]; readonly bytes: number }
  | { readonly name: 'commandComplete'; readonly command: string }
  | { readonly name: 'emptyQueryResponse' }
  | { readonly name: 'copyInResponse' }
  | { readonly name: 'copyOutResponse' }
  | { readonly name: 'copyBothResponse' }
  | { readonly name: 'copyDone' }
  | { readonly name: 'copyData'; readonly payload: Uint8Array };

/** Fields of an ErrorResponse or NoticeResponse that this library uses. */
export interface ErrorFields {
  readonly severity: string;
  /** SQLSTATE. */
  readonly sqlState: string;
  readonly message: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  /** What the server was doing: of a walsender that decodes, where in the WAL. May quote statements. */
  readonly where?: string | undefined;
}

/** What an Authentication message asks for. */
export type AuthenticationRequest =
  | { readonly method: 'ok' }
  | { readonly method: 'password' }
  | { readonly method: 'md5'; readonly salt: Uint8Array }
  | { readonly method: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly method: 'sasl-continue'; readonly data: string }
  | { readonly method: 'sasl-final'; readonly data: string }
  | { readonly method: 'unsupported'; readonly title: string };
