import { EVENT_WORDS, EventWord } from './packed-batch.js';

const INITIAL_EVENTS = 1024;

/** The growing index of a batch that is being packed. */
export class EventIndex {
  #words = new Uint32Array(INITIAL_EVENTS * EVENT_WORDS);
  #length = 0;

  push(
    codeAndFlags: number,
    relation: number,
    lsnHigh: number,
    lsnLow: number,
    oldStart: number,
    newStart: number,
    end: number,
  ): void {
    const at = this.#length;
    if (at === this.#words.length) this.#grow();
    const words = this.#words;
    words[at] = codeAndFlags;
    words[at + 1] = relation;
    words[at + 2] = lsnHigh;
    words[at + 3] = lsnLow;
    words[at + 4] = oldStart;
    words[at + 5] = newStart;
    words[at + 6] = end;
    this.#length = at + EVENT_WORDS;
  }

  /** Sets a flag of the event that was pushed last. */
  flagLast(flag: number): void {
    this.#words[this.#length - EVENT_WORDS + EventWord.codeAndFlags] |= flag;
  }

  /** The words written since the last call, in memory of their own. */
  take(): Uint32Array<ArrayBuffer> {
    const words = this.#words.slice(0, this.#length);
    this.#length = 0;
    return words;
  }

  #grow(): void {
    const larger = new Uint32Array(this.#words.length * 2);
    larger.set(this.#words);
    this.#words = larger;
  }
}
