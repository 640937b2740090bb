/** `npm run example <name>`: runs an example, or says which there are. */
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';

const folder = new URL('.', import.meta.url);
const self = basename(import.meta.url, '.js');
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js'))
  .map((file) => basename(file, '.js'))
  .filter((name) => name !== self)
  .sort();

const [name = ''] = process.argv.splice(2, 1);
if (names.includes(name)) {
  await import(new URL(`${name}.js`, folder).href);
} else {
  const what = name === '' ? 'an example has to be named' : `there is no example ${name}`;
  console.error(`${what}: npm run example ${names.join(' | ')}`);
  process.exitCode = 2;
}
