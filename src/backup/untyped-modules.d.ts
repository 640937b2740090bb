/** The header codec of tar-stream, whose types cover its streams only. */
declare module 'tar-stream/headers.js' {
  interface Headers {
    readonly name: string;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly size: number;
    readonly mtime: Date;
    readonly type: string | null;
    readonly linkname: string | null;
    readonly uname: string;
    readonly gname: string;
    readonly devmajor?: number;
    readonly devminor?: number;
  }
  /** `null` for a block of zeros; throws when it is no header. */
  function decode(block: Uint8Array, filenameEncoding: BufferEncoding, allowUnknownFormat: boolean): Headers | null;
  /** `null` when a name does not fit. */
  function encode(header: Headers): Uint8Array | null;
}
