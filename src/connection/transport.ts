/**
 * Takes the bytes of a connection. `buffer()` is asked for the memory that the next read may fill, right after each
 * `onBytes`, and the memory given last stays the kernel's target until then, also when the sink is changed meanwhile:
 * so `onBytes` names the memory that was filled, which may be one that an earlier sink gave.
 */
export interface ReadSink {
  buffer(): Uint8Array;
  onBytes(count: number, memory: Uint8Array): void;
  /** Once, when nothing will follow; with the error that ended it, or `undefined` after an orderly end by the server. */
  onClose(error: Error | undefined): void;
}

/** A byte stream to the server, plain or encrypted; the only thing that the rest knows of sockets. */
export interface Transport {
  readonly host: string;
  readonly encrypted: boolean;
  setSink(sink: ReadSink): void;
  /** Stops reading from the kernel; what was read already has been given to the sink. */
  pause(): void;
  resume(): void;
  /** Bytes are sent in order; `written` is called when the kernel has them. */
  write(bytes: Uint8Array, written?: () => void): void;
  /** Sends what is queued, then closes. Resolves when closed. */
  end(): Promise<void>;
  destroy(): void;
}
