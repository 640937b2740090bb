/** Those of the known names that the command line has; all when it has none. */
export function chosenFrom<T extends string>(
  positionals: readonly string[],
  known: readonly T[],
  usage: string,
): readonly T[] {
  if (positionals.length === 0) return known;
  return positionals.map((text) => {
    const name = known.find((one) => one === text);
    if (name === undefined) throw new Error(`there is no bench '${text}'\n${usage}`);
    return name;
  });
}
