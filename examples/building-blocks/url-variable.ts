/**
 * A variable of the environment that holds a URL like the sample; `undefined` without one. The error for anything else
 * names the variable and not what it holds, which may be a password.
 */
export function urlVariable(name: string, protocols: readonly string[], sample: string): string | undefined {
  const text = process.env[name] || undefined;
  if (text === undefined || (URL.canParse(text) && protocols.includes(new URL(text).protocol))) return text;
  throw new TypeError(`${name} is no URL that can be used: it has to be like ${sample}`);
}
