/**
 * Which transactions go to disk, by position in `sizes`: the largest ones, until the rest fits into `memoryBytes`. Few
 * large writes are cheaper than many small ones.
 */
export function largestToSpill(sizes: readonly number[], memoryBytes: number): number[] {
  const bySize = sizes.map((size, position) => ({ size, position })).sort((a, b) => b.size - a.size);
  let inMemory = sizes.reduce((total, size) => total + size, 0);
  const chosen: number[] = [];
  for (const { size, position } of bySize) {
    if (inMemory <= memoryBytes) break;
    chosen.push(position);
    inMemory -= size;
  }
  return chosen;
}
