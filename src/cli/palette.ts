/** Colours of the terminal, or none: each is a function that wraps a text. */
export type Palette = Readonly<Record<'dim' | 'bold' | 'green' | 'yellow' | 'red' | 'blue' | 'cyan', Paint>>;
type Paint = (text: string) => string;

/** util.styleText came with Node 20.12 only. */
const CODES = {
  dim: [2, 22],
  bold: [1, 22],
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
  blue: [34, 39],
  cyan: [36, 39],
};

/** Colours only where a person looks, and not when NO_COLOR asks for none. See https://no-color.org. */
export function paletteFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Palette {
  const wanted = stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  const paints = Object.entries(CODES).map(([name, [on, off]]): [string, Paint] => [
    name,
    wanted ? (text) => `\u001b[${on}m${text}\u001b[${off}m` : (text) => text,
  ]);
  return Object.fromEntries(paints) as Palette;
}
