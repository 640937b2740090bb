import type { Stretch } from '../pgoutput/change-cursor.js';
import { PackedEvents, type ValueReader } from '../pgoutput/packed-events.js';
import type { RelationVersion } from '../pgoutput/relation.js';
import type { SpillDirectory } from './spill-directory.js';
import type { SpillFile } from './spill-file.js';

/** What packed events on disk need to be read again. */
interface SpilledStretch {
  readonly relations: readonly RelationVersion[];
  readonly readValue: ValueReader | undefined;
}

/** What was received of one transaction: the beginning on disk once memory is short, the rest in memory. */
export class TransactionStore {
  #stretches: Stretch[] = [];
  #memoryBytes = 0;
  #file: SpillFile | undefined;
  readonly #spilled: SpilledStretch[] = [];

  /** Bytes in memory. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get spilledBytes(): number {
    return this.#file?.byteCount ?? 0;
  }

  get spilled(): boolean {
    return this.#file !== undefined;
  }

  /** What is in memory: everything, unless some was spilled. */
  get inMemory(): readonly Stretch[] {
    return this.#stretches;
  }

  add(stretch: Stretch): void {
    if (stretch.from === stretch.to) return;
    this.#stretches.push(stretch);
    this.#memoryBytes += byteCountOf(stretch);
  }

  /** The transaction outlives the batch that it was last in: what it has of that is copied unless it is most of it. */
  detach(): void {
    const last = this.#stretches.at(-1);
    if (last === undefined || byteCountOf(last) * 2 > last.events.byteCount) return;
    const events = last.events.copy(last.from, last.to);
    this.#stretches[this.#stretches.length - 1] = { events, from: 0, to: events.end };
  }

  /** Moves what is in memory to disk. SpillError; then everything is where it was. */
  async spill(directory: SpillDirectory): Promise<void> {
    const stretches = this.#stretches.map(({ events, from, to }) => {
      return from === 0 && to === events.end ? events : events.copy(from, to);
    });
    this.#file ??= await directory.newFile();
    await this.#file.append(stretches.map((events) => events.packed));
    for (const { relations, valueReader } of stretches) this.#spilled.push({ relations, readValue: valueReader });
    this.#stretches = [];
    this.#memoryBytes = 0;
  }

  /** Everything in order; what is on disk a stretch at a time. */
  async *read(): AsyncGenerator<Stretch, void, undefined> {
    let position = 0;
    if (this.#file !== undefined) {
      for await (const packed of this.#file.read()) {
        const { relations, readValue } = this.#spilled[position++];
        const events = new PackedEvents(packed, relations, readValue);
        yield { events, from: 0, to: events.end };
      }
    }
    yield* this.#stretches;
  }

  /** Nobody reads it any more. */
  async remove(): Promise<void> {
    await this.#file?.remove();
  }
}

function byteCountOf({ events, from, to }: Stretch): number {
  return events.byteCountBetween(from, to);
}
