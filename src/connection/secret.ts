import { inspect } from 'node:util';

/** A password that neither `util.inspect`, JSON, a template string nor a structured clone shows. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The password itself. */
  reveal(): string {
    return this.#value;
  }

  /** `[secret]`. */
  toString(): string {
    return '[secret]';
  }

  /** `[secret]`. */
  toJSON(): string {
    return '[secret]';
  }

  /** `[secret]`. */
  [inspect.custom](): string {
    return '[secret]';
  }
}
