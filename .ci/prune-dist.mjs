/**
 * Removes from dist/ what has no source any more: tsc leaves it there, where it would be run, published or found by a
 * worker's URL. dist/ is not emptied instead, because whoever runs something from it meanwhile would lose it.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

for (const entry of readdirSync('dist', { withFileTypes: true, recursive: true })) {
  if (!entry.isFile()) continue;
  const built = join(entry.parentPath ?? entry.path, entry.name);
  const source = relative('dist', built).replace(/\.(?:d\.(c?)ts|(c?)js(?:\.map)?)$/, '.$1$2ts');
  if (!existsSync(source)) rmSync(built, { force: true });
}
