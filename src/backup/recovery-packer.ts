import { RECOVERY_CONFIGURATION, STANDBY_SIGNAL } from './recovery-configuration.js';
import { encodeTarHeader, resizeTarHeader, type TarMember, tarPaddingBytes } from './tar-header.js';

/**
 * Packs an archive again, member by member, with the configuration of a standby in it, as pg_basebackup does: lines behind
 * those of postgresql.auto.conf, and a standby.signal. Everything else stays as it is.
 */
export class RecoveryPacker {
  readonly #write: (bytes: Buffer) => void;
  readonly #lines: Buffer;
  readonly #mode: number;
  readonly #found = new Set<string>();
  #isConfiguration = false;
  #paddingBytes = 0;

  constructor(write: (bytes: Buffer) => void, lines: string, mode: number) {
    this.#write = write;
    this.#lines = Buffer.from(lines);
    this.#mode = mode;
  }

  onMember({ kind, path, size }: TarMember, header: Buffer): void {
    this.#found.add(path);
    this.#isConfiguration = kind === 'file' && path === RECOVERY_CONFIGURATION;
    const newSize = this.#isConfiguration ? size + this.#lines.length : size;
    this.#paddingBytes = tarPaddingBytes(newSize);
    this.#write(this.#isConfiguration ? resizeTarHeader(header, newSize) : header);
  }

  onContent(content: Buffer): void {
    this.#write(content);
  }

  onMemberEnd(): void {
    if (this.#isConfiguration) this.#write(this.#lines);
    this.#isConfiguration = false;
    this.#write(Buffer.alloc(this.#paddingBytes));
  }

  /** What the server did not send, as a server without ALTER SYSTEM might. A standby sends its own signal. */
  end(): void {
    if (!this.#found.has(RECOVERY_CONFIGURATION)) this.#add(RECOVERY_CONFIGURATION, this.#lines);
    if (!this.#found.has(STANDBY_SIGNAL)) this.#add(STANDBY_SIGNAL, Buffer.alloc(0));
  }

  #add(path: string, content: Buffer): void {
    const header = encodeTarHeader(path, content.length, this.#mode);
    this.#write(Buffer.concat([header, content, Buffer.alloc(tarPaddingBytes(content.length))]));
  }
}
