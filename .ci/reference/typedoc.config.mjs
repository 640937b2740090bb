/**
 * The API reference: every entry point of the package, from the sources, to reference/. Broken links, types that public
 * signatures mention and nobody can import, and missing comments are errors.
 */
import { readFileSync } from 'node:fs';
import { Converter, ReflectionKind } from 'typedoc';

const root = new URL('../../', import.meta.url);
const { name, version, exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

/** `./dist/src/index.d.ts` → `../../src/index.ts`; package.json itself has no types. */
const entryPoints = Object.values(exports)
  .filter(({ types }) => types !== undefined)
  .map(({ types }) => types.replace('./dist/', '../../').replace('.d.ts', '.ts'));

/** `kind: 'insert'`, `code: 'ERR_SLOT'`: the type says all there is to say. */
const isLiteral = ({ type }) => type?.type === 'literal';
/** A field of an object that is written out in place: whoever has it describes it. */
const isInline = ({ parent }) => parent?.kindOf(ReflectionKind.TypeLiteral);
/** Parameters are described by their function, and asked for nothing. */
const isInParameter = (reflection) =>
  reflection !== undefined && (reflection.kindOf(ReflectionKind.Parameter) || isInParameter(reflection.parent));

/** The comment of a getter is its accessor's. */
const isDocumented = (reflection) =>
  reflection.hasComment() || (reflection.kindOf(ReflectionKind.GetSignature) && reflection.parent.hasComment());

/** What needs no comment, of the kinds in `requiredToBeDocumented`. */
function excuse(app) {
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    const excused = project
      .getReflectionsByKind(ReflectionKind.Property | ReflectionKind.GetSignature)
      .filter((reflection) => !isDocumented(reflection))
      .filter((reflection) => (isLiteral(reflection) || isInline(reflection)) && !isInParameter(reflection));
    app.options.setValue('intentionallyNotDocumented', [
      ...new Set(excused.map((reflection) => reflection.getFriendlyFullName())),
    ]);
  });
}

/** @type {import('typedoc').TypeDocOptions} */
export default {
  name: `${name} ${version}`,
  tsconfig: 'tsconfig.json',
  entryPoints,
  out: '../../reference',
  plugin: [excuse],
  readme: 'none',
  // A link to a line would name a host.
  disableSources: true,
  excludeExternals: true,
  excludeInternal: true,
  excludePrivate: true,
  excludeProtected: true,
  // A mapped type is made of it; what it gives is documented as TableShape.
  intentionallyNotExported: ['ShapeOf'],
  validation: { invalidLink: true, invalidPath: true, notExported: true, notDocumented: true },
  requiredToBeDocumented: [
    'Module',
    'Class',
    'Interface',
    'TypeAlias',
    'Function',
    'Variable',
    'Constructor',
    'Method',
    'Accessor',
    'Property',
  ],
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
