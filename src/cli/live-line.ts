import type { WriteStream } from 'node:tty';

/** The part of a stream that a live line needs. */
export type LiveLineStream = Pick<WriteStream, 'isTTY' | 'columns' | 'write'>;

/** Where lines stay, as in a log, there is one after so much time, or so much of the work. */
const LOG_INTERVAL_MS = 30_000;
const LOG_PERCENT = 10;

/** A line that keeps being replaced on a terminal; elsewhere each text is a line of its own. */
export class LiveLine {
  readonly #stream: LiveLineStream;
  readonly #rewrites: boolean;
  #shown = false;
  #loggedAtMs = Number.NEGATIVE_INFINITY;
  #loggedPercent = 0;

  constructor(stream: LiveLineStream, env: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream;
    this.#rewrites = stream.isTTY === true && env.TERM !== 'dumb';
  }

  /** Whether each text takes the place of the last. */
  get rewrites(): boolean {
    return this.#rewrites;
  }

  /** Whether a text is to be shown now: always where it takes the place of the last, elsewhere now and then. */
  isDue(percent = 0, nowMs = performance.now()): boolean {
    if (this.#rewrites) return true;
    const step = Math.floor(percent / LOG_PERCENT) * LOG_PERCENT;
    if (step <= this.#loggedPercent && nowMs - this.#loggedAtMs < LOG_INTERVAL_MS) return false;
    this.#loggedAtMs = nowMs;
    this.#loggedPercent = step;
    return true;
  }

  show(text: string): void {
    if (!this.#rewrites) {
      this.#stream.write(`${text}\n`);
      return;
    }
    // A line that wraps cannot be rewritten.
    this.#stream.write(`\r\u001b[2K${firstCharacters(text, Math.max((this.#stream.columns || 80) - 1, 1))}`);
    this.#shown = true;
  }

  /** What is written next starts on a line of its own: below the live line, or in its place. */
  end(how: 'keep' | 'clear' = 'keep'): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#stream.write(how === 'keep' ? '\n' : '\r\u001b[2K');
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with ESC.
const COLOUR_OR_CHARACTER = /\u001b\[\d+m|./gsu;

/** The beginning of a text, whose colours take no place; those beyond the end are kept, because they end colours. */
function firstCharacters(text: string, count: number): string {
  let left = count;
  return text.replace(COLOUR_OR_CHARACTER, (part) => (part.startsWith('\u001b') || left-- > 0 ? part : ''));
}
