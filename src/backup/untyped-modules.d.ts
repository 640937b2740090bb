/** The header codec of tar-stream, whose types cover its streams only. */
declare module 'tar-stream/headers.js' {
  interface Headers {
    readonly name: string;
    readonly size: number;
    readonly linkname: string | null;
  }
  /** `null` for a block of zeros; throws when it is no header. */
  function decode(block: Uint8Array, filenameEncoding: BufferEncoding, allowUnknownFormat: boolean): Headers | null;
}
