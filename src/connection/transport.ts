/**
 * Takes the bytes of a connection. `buffer()` is asked for the memory that the next read may fill, right after each
 * `onBytes`, and the memory given last stays the kernel's target until then, also when the sink is changed meanwhile:
 * so `onBytes` names the memory that was filled, which may be one that an earlier sink gave. The first bytes of a new
 * sink may also be some that came before it and belong to it: they are put into memory that it gave.
 */
export interface ReadSink {
  /** Memory that the next read may fill. */
  buffer(): Uint8Array;
  /** The first `count` bytes of `memory` have been filled. */
  onBytes(count: number, memory: Uint8Array): void;
  /**
   * Once, when nothing will follow; with the error that ended it, or `undefined` after an orderly end by the server and
   * after {@link Transport.end} or {@link Transport.destroy}.
   */
  onClose(error: Error | undefined): void;
}

/** A byte stream to the server, plain or encrypted; the only thing that the rest knows of sockets. */
export interface Transport {
  /** Where it leads, for messages: `host:port` or the path of a Unix socket. */
  readonly host: string;
  /** Whether TLS is in use. */
  readonly encrypted: boolean;
  /** From now on bytes go there. */
  setSink(sink: ReadSink): void;
  /** Stops reading from the kernel; what was read already has been given to the sink. */
  pause(): void;
  /** Goes on reading after {@link pause}. */
  resume(): void;
  /** Bytes are sent in order and must not change until `written` is called, when the kernel has them. */
  write(bytes: Uint8Array, written?: () => void): void;
  /** Sends what is queued, then closes; what still arrives is discarded. Resolves when closed, within a bound. */
  end(): Promise<void>;
  /** Closes at once; what is queued may not be sent. */
  destroy(): void;
}
