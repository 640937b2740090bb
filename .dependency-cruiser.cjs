/**
 * The import directions of this house, over what tsc built: dependency-cruiser reads no TypeScript 7 sources, and would
 * find 0 modules there and call it success. test/architecture.test.ts runs this, shows that violations fail, and holds
 * the same table against the sources for the type-only imports that are gone from dist.
 */
const layers = require('./test/architecture/layers.json');

const ANY_LAYER = '^dist/(src|workers|examples)/';
const files = (layer) => (/^(workers|examples)$/.test(layer) ? `^dist/${layer}/` : `^dist/src/${layer}(/|\\.js$)`);
// A package is a path when it is installed and a bare name when it is not; our own is what its exports lead to.
const OWN_EXPORTS = '^dist/src/(index|pgoutput/index|testing/index)\\.js$';
const packages = (name) => (name === 'pg-walstream' ? OWN_EXPORTS : `(^|node_modules/)${name}(/|$)`);

const rulesOf = ([layer, { imports, packages: allowedPackages, builtins }]) => {
  const from = { path: files(layer) };
  const rules = [
    {
      name: `${layer}: layers`,
      severity: 'error',
      from,
      to: { path: ANY_LAYER, pathNot: [...[layer, ...imports].map(files), ...allowedPackages.map(packages)] },
    },
    {
      name: `${layer}: packages`,
      severity: 'error',
      from,
      to: { pathNot: [ANY_LAYER, ...allowedPackages.map(packages)], dependencyTypesNot: ['core'] },
    },
  ];
  if (builtins !== 'any') {
    rules.push({
      name: `${layer}: builtins`,
      severity: 'error',
      from,
      to: { dependencyTypes: ['core'], pathNot: builtins.map((name) => `^(node:)?${name}$`) },
    });
  }
  return rules;
};

module.exports = {
  forbidden: [
    { name: 'no cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no missing modules', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no unknown layers',
      severity: 'error',
      from: { path: ANY_LAYER, pathNot: Object.keys(layers).map(files) },
      to: {},
    },
    ...Object.entries(layers).flatMap(rulesOf),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    moduleSystems: ['es6'],
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import', 'default'] },
  },
};
