import { join } from 'node:path';
import { BackupError } from '../errors.js';
import type { ArchiveOutput } from './archive-output.js';
import { type ArchiveTarget, type BackupLayout, modesOf } from './backup-layout.js';
import { makeDirectory, makeLink, NewFile, syncPath } from './durable-file.js';
import { FileSyncer } from './file-syncer.js';
import { showPath } from './manifest.js';
import { ManifestChecksum, type ManifestChecksumAlgorithm } from './manifest-checksum.js';
import type { ReceivedFile } from './manifest-comparison.js';
import { RecoveryPacker } from './recovery-packer.js';
import { TAR_BLOCK_BYTES, TAR_TRAILER_BLOCKS, type TarMember, tarModifiedAt } from './tar-header.js';
import { type TarHandler, type TarOrigin, TarReader } from './tar-reader.js';

/**
 * Files from this size on are made to survive a crash while others come. Of smaller ones each would wait for the disk by itself;
 * they are left until all have come, and most have been written out by then.
 */
const SYNCED_EARLY_BYTES = 256 * 1024;

/** What becomes of one archive after the other. */
export interface ArchiveSink {
  begin(target: ArchiveTarget): void;
  /** The bytes must not change until it is done; nothing else is pushed before. */
  push(bytes: Buffer, start: number, end: number): Promise<void> | undefined;
  /** The archive is complete. */
  end(): Promise<void> | undefined;
  /** All are: what waited for that is made, and everything survives a crash if the layout says so. */
  finish(): Promise<void> | undefined;
}

/** The files of a backup as they come, by path as in the manifest. */
export class ReceivedFiles {
  readonly files = new Map<string, ReceivedFile>();
  readonly #algorithm: ManifestChecksumAlgorithm;
  #prefix = '';
  #checksum: ManifestChecksum;
  #path = '';
  #size = 0;
  #modifiedAt = 0;

  constructor(algorithm: ManifestChecksumAlgorithm) {
    this.#algorithm = algorithm;
    this.#checksum = new ManifestChecksum(algorithm);
  }

  beginArchive({ oid }: ArchiveTarget): void {
    this.#prefix = oid === undefined ? '' : `pg_tblspc/${oid}/`;
  }

  /** `modifiedAt` in seconds since 1970. */
  beginFile(path: string, modifiedAt: number): void {
    this.#path = this.#prefix + path;
    this.#modifiedAt = modifiedAt;
    if (this.files.has(this.#path)) {
      throw new BackupError(`the server sent ${showPath(this.#path)} twice`, { path: showPath(this.#path) });
    }
    this.#checksum = new ManifestChecksum(this.#algorithm);
    this.#size = 0;
  }

  update(bytes: Uint8Array): void {
    this.#checksum.update(bytes);
    this.#size += bytes.length;
  }

  endFile(): void {
    const checksum = this.#checksum.digest();
    this.files.set(this.#path, { size: this.#size, modifiedAt: this.#modifiedAt, checksum, isListed: false });
  }
}

/** A link waits until every file is written, so that nothing is ever written through it. */
interface WaitingLink {
  readonly path: string;
  readonly target: string;
}

/** Plain format: members become files and folders. */
export class ExtractingSink implements ArchiveSink, TarHandler {
  readonly #layout: BackupLayout;
  readonly #received: ReceivedFiles;
  readonly #modes: { readonly directory: number; readonly file: number };
  readonly #directories = new Set<string>();
  readonly #syncer = new FileSyncer();
  readonly #links = new Map<number, WaitingLink>();
  #target: ArchiveTarget;
  #tar: TarReader | undefined;
  #file: NewFile | undefined;
  /** Its path, in latin1. */
  #filePath = '';

  constructor(layout: BackupLayout, received: ReceivedFiles) {
    this.#layout = layout;
    this.#received = received;
    this.#modes = modesOf(layout);
    this.#target = layout.archives[0];
    for (const folder of layout.walFolders) this.#directories.add(latin1(folder));
  }

  begin(target: ArchiveTarget): void {
    this.#target = target;
    this.#tar = new TarReader(target.name, originOf(this.#layout), this);
    this.#received.beginArchive(target);
    const { oid, linkedFrom, directory } = target;
    if (oid !== undefined && linkedFrom === undefined) {
      // In place: these folders come only later, with the data directory.
      this.#makeDirectory(latin1(join(this.#layout.directory, 'pg_tblspc')));
      this.#makeDirectory(latin1(directory));
    }
    this.#directories.add(latin1(directory));
  }

  /** The bytes are used at once. */
  push(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    this.#tar?.push(bytes, start, end);
    return this.#syncer.room();
  }

  end(): undefined {
    this.#tar?.end();
  }

  onMember(member: TarMember, header: Buffer): void {
    const path = this.#pathOf(member);
    switch (member.kind) {
      case 'file':
        this.#received.beginFile(member.path, tarModifiedAt(header));
        this.#file = new NewFile(Buffer.from(path, 'latin1'), this.#modes.file, showPath(path), {
          syncedLater: this.#layout.sync,
        });
        this.#filePath = path;
        break;
      case 'directory':
        this.#makeDirectory(path);
        break;
      case 'symlink':
        this.#onLink(member);
        break;
      default:
        member.kind satisfies never;
    }
  }

  onContent(bytes: Buffer, start: number, end: number): void {
    const content = bytes.subarray(start, end);
    this.#received.update(content);
    this.#file?.write(content);
  }

  onMemberEnd(): void {
    this.#received.endFile();
    const size = this.#file?.size ?? 0;
    this.#file?.close(false);
    this.#file = undefined;
    if (!this.#layout.sync || size < SYNCED_EARLY_BYTES) return;
    this.#syncer.add(Buffer.from(this.#filePath, 'latin1'), showPath(this.#filePath), 'file');
  }

  async finish(): Promise<void> {
    for (const { oid, linkedFrom } of this.#layout.archives) {
      const link = oid === undefined ? undefined : this.#links.get(oid);
      if (link !== undefined) makeLink(link.path, link.target);
      else if (linkedFrom !== undefined) {
        throw new BackupError(`the server sent no link to the tablespace ${oid}`, { path: `pg_tblspc/${oid}` });
      }
    }
    if (!this.#layout.sync) return;
    this.#syncSmallFiles();
    for (const path of this.#directories) {
      this.#syncer.add(Buffer.from(path, 'latin1'), showPath(path), 'directory');
      await this.#syncer.room();
    }
    await this.#syncer.done();
  }

  /** In the order in which they came; by then they are on the disk, or nearly. Tablespaces are found through their links. */
  #syncSmallFiles(): void {
    const root = latin1(this.#layout.directory);
    for (const [name, { size }] of this.#received.files) {
      if (size >= SYNCED_EARLY_BYTES) continue;
      const path = `${root}/${name}`;
      syncPath(Buffer.from(path, 'latin1'), showPath(path), 'file');
    }
  }

  #makeDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    makeDirectory(Buffer.from(path, 'latin1'), this.#modes.directory, showPath(path));
    this.#directories.add(path);
  }

  /** The absolute path in latin1, as member names are. */
  #pathOf({ path }: TarMember): string {
    return `${latin1(this.#target.directory)}/${path}`;
  }

  /** Only to a tablespace that was announced, by its own name, and then to where it lies now. */
  #onLink({ path, target }: TarMember): void {
    const { archives, directory } = this.#layout;
    const oid = Number(/^pg_tblspc\/(\d+)$/.exec(path)?.[1]);
    const tablespace = archives.find((one) => one.oid === oid && one.linkedFrom !== undefined);
    const announced = latin1(tablespace?.linkedFrom ?? '');
    if (this.#target.oid !== undefined || tablespace === undefined || announced !== target || this.#links.has(oid)) {
      throw new BackupError(`the server sent a link that belongs to no tablespace: ${showPath(path)}`, {
        path: showPath(path),
      });
    }
    this.#links.set(oid, { path: join(directory, 'pg_tblspc', String(oid)), target: tablespace.directory });
  }
}

function originOf({ hasTrailer }: BackupLayout): TarOrigin {
  return hasTrailer ? 'server' : 'server-14';
}

function latin1(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** Tar format: archives go on as they come, byte for byte, and are looked into only for checksums. */
export class ArchivingSink implements ArchiveSink, TarHandler {
  readonly #layout: BackupLayout;
  readonly #received: ReceivedFiles;
  readonly #open: (target: ArchiveTarget) => ArchiveOutput;
  #tar: TarReader | undefined;
  #output: ArchiveOutput | undefined;
  /** Puts the configuration of a standby into the data directory's archive. */
  #packer: RecoveryPacker | undefined;

  constructor(layout: BackupLayout, received: ReceivedFiles, open: (target: ArchiveTarget) => ArchiveOutput) {
    this.#layout = layout;
    this.#received = received;
    this.#open = open;
  }

  begin(target: ArchiveTarget): void {
    const { recoveryLines } = this.#layout;
    const { file: mode } = modesOf(this.#layout);
    const output = this.#open(target);
    this.#output = output;
    const isStandby = target.oid === undefined && recoveryLines !== undefined;
    this.#packer = isStandby ? new RecoveryPacker((bytes) => output.write(bytes), recoveryLines, mode) : undefined;
    this.#tar = new TarReader(target.name, originOf(this.#layout), this);
    this.#received.beginArchive(target);
  }

  push(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    // Looked at first: what is refused is not written.
    this.#tar?.push(bytes, start, end);
    if (this.#packer === undefined) this.#output?.write(bytes.subarray(start, end));
    return this.#output?.drained();
  }

  end(): Promise<void> | undefined {
    this.#tar?.end();
    this.#packer?.end();
    const lacksTrailer = !this.#layout.hasTrailer || this.#packer !== undefined;
    if (lacksTrailer) this.#output?.write(Buffer.alloc(TAR_TRAILER_BLOCKS * TAR_BLOCK_BYTES));
    const closed = this.#output?.close(this.#layout.sync);
    this.#output = undefined;
    return closed;
  }

  onMember(member: TarMember, header: Buffer): void {
    const { kind, path } = member;
    if (kind === 'file') this.#received.beginFile(path, tarModifiedAt(header));
    else if (kind === 'symlink') {
      throw new BackupError(`the server sent a link where it was asked for none: ${showPath(path)}`, {
        path: showPath(path),
      });
    }
    // The block is used again for the next member, perhaps before it is compressed.
    this.#packer?.onMember(member, Buffer.from(header));
  }

  onContent(bytes: Buffer, start: number, end: number): void {
    const content = bytes.subarray(start, end);
    this.#received.update(content);
    this.#packer?.onContent(content);
  }

  onMemberEnd(): void {
    this.#received.endFile();
    this.#packer?.onMemberEnd();
  }

  finish(): undefined {
    const { directory, sync } = this.#layout;
    if (sync) syncPath(directory, directory, 'directory');
  }
}
