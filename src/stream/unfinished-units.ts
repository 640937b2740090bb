const BLOCK_UNITS = 4096;
const MAX_OFFSET = 0xffff_ffffn;

/** Some units in a row: where they end, counted from the first's end, and a bit for each that is finished. */
class Block {
  readonly firstUnit: number;
  readonly base: bigint;
  readonly offsets = new Uint32Array(BLOCK_UNITS);
  readonly finished = new Uint8Array(BLOCK_UNITS / 8);
  count = 0;

  constructor(firstUnit: number, base: bigint) {
    this.firstUnit = firstUnit;
    this.base = base;
  }

  takes(endLsn: bigint): boolean {
    return this.count < BLOCK_UNITS && endLsn - this.base <= MAX_OFFSET;
  }
}

/**
 * Where units of acknowledgement end, and which of them are finished: 4⅛ bytes a unit, for as long as it is kept. A
 * consumer that acknowledges late keeps many. Ends do not go back.
 */
export class UnfinishedUnits {
  #blocks: Block[] = [];
  #next = 0;

  /** Bytes that the units take. */
  get byteCount(): number {
    return this.#blocks.length * (BLOCK_UNITS * 4 + BLOCK_UNITS / 8);
  }

  add(endLsn: bigint): void {
    let block = this.#blocks.at(-1);
    if (block === undefined || !block.takes(endLsn)) {
      block = new Block(this.#next, endLsn);
      this.#blocks.push(block);
    }
    block.offsets[block.count++] = Number(endLsn - block.base);
    this.#next++;
  }

  /** The unit must be kept, here and below. */
  endOf(unit: number): bigint {
    const block = this.#blockOf(unit);
    return block.base + BigInt(block.offsets[unit - block.firstUnit]);
  }

  isFinished(unit: number): boolean {
    const block = this.#blockOf(unit);
    const at = unit - block.firstUnit;
    return (block.finished[at >> 3] & (1 << (at & 7))) !== 0;
  }

  finish(unit: number): void {
    const block = this.#blockOf(unit);
    const at = unit - block.firstUnit;
    block.finished[at >> 3] |= 1 << (at & 7);
  }

  /** Units before `unit` need not be kept. */
  dropBefore(unit: number): void {
    let count = 0;
    while (count < this.#blocks.length && this.#blocks[count].firstUnit + this.#blocks[count].count <= unit) count++;
    if (count > 0) this.#blocks = this.#blocks.slice(count);
  }

  #blockOf(unit: number): Block {
    const blocks = this.#blocks;
    let low = 0;
    let high = blocks.length - 1;
    // Mostly it is the first or the last.
    if (blocks[high].firstUnit <= unit) low = high;
    else if (high > 0 && unit < blocks[1].firstUnit) high = 0;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (blocks[middle].firstUnit <= unit) low = middle;
      else high = middle - 1;
    }
    return blocks[low];
  }
}
