/**
 * OIDs of the built-in types. They are the same in every database of every supported version.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
 */
export const Oid = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int2vector: 22,
  int4: 23,
  regproc: 24,
  text: 25,
  oid: 26,
  tid: 27,
  xid: 28,
  cid: 29,
  oidvector: 30,
  json: 114,
  xml: 142,
  point: 600,
  lseg: 601,
  path: 602,
  box: 603,
  polygon: 604,
  line: 628,
  cidr: 650,
  float4: 700,
  float8: 701,
  circle: 718,
  macaddr8: 774,
  money: 790,
  macaddr: 829,
  inet: 869,
  aclitem: 1033,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  varbit: 1562,
  numeric: 1700,
  refcursor: 1790,
  regprocedure: 2202,
  regoper: 2203,
  regoperator: 2204,
  regclass: 2205,
  regtype: 2206,
  cstring: 2275,
  uuid: 2950,
  txidSnapshot: 2970,
  pgLsn: 3220,
  tsvector: 3614,
  tsquery: 3615,
  regconfig: 3734,
  regdictionary: 3769,
  jsonb: 3802,
  int4range: 3904,
  numrange: 3906,
  tsrange: 3908,
  tstzrange: 3910,
  daterange: 3912,
  int8range: 3926,
  jsonpath: 4072,
  regnamespace: 4089,
  regrole: 4096,
  regcollation: 4191,
  int4multirange: 4451,
  nummultirange: 4532,
  tsmultirange: 4533,
  tstzmultirange: 4534,
  datemultirange: 4535,
  int8multirange: 4536,
  pgSnapshot: 5038,
  xid8: 5069,
} as const;

/** Array types and their element types. */
const ARRAY_ELEMENTS: ReadonlyMap<number, number> = new Map([
  [1000, Oid.bool],
  [1001, Oid.bytea],
  [1002, Oid.char],
  [1003, Oid.name],
  [1016, Oid.int8],
  [1005, Oid.int2],
  [1006, Oid.int2vector],
  [1007, Oid.int4],
  [1008, Oid.regproc],
  [1009, Oid.text],
  [1028, Oid.oid],
  [1010, Oid.tid],
  [1011, Oid.xid],
  [1012, Oid.cid],
  [1013, Oid.oidvector],
  [199, Oid.json],
  [143, Oid.xml],
  [1017, Oid.point],
  [1018, Oid.lseg],
  [1019, Oid.path],
  [1020, Oid.box],
  [1027, Oid.polygon],
  [629, Oid.line],
  [651, Oid.cidr],
  [1021, Oid.float4],
  [1022, Oid.float8],
  [719, Oid.circle],
  [775, Oid.macaddr8],
  [791, Oid.money],
  [1040, Oid.macaddr],
  [1041, Oid.inet],
  [1034, Oid.aclitem],
  [1014, Oid.bpchar],
  [1015, Oid.varchar],
  [1182, Oid.date],
  [1183, Oid.time],
  [1115, Oid.timestamp],
  [1185, Oid.timestamptz],
  [1187, Oid.interval],
  [1270, Oid.timetz],
  [1561, Oid.bit],
  [1563, Oid.varbit],
  [1231, Oid.numeric],
  [2201, Oid.refcursor],
  [2207, Oid.regprocedure],
  [2208, Oid.regoper],
  [2209, Oid.regoperator],
  [2210, Oid.regclass],
  [2211, Oid.regtype],
  [1263, Oid.cstring],
  [2951, Oid.uuid],
  [2949, Oid.txidSnapshot],
  [3221, Oid.pgLsn],
  [3643, Oid.tsvector],
  [3645, Oid.tsquery],
  [3735, Oid.regconfig],
  [3770, Oid.regdictionary],
  [3807, Oid.jsonb],
  [3905, Oid.int4range],
  [3907, Oid.numrange],
  [3909, Oid.tsrange],
  [3911, Oid.tstzrange],
  [3913, Oid.daterange],
  [3927, Oid.int8range],
  [4073, Oid.jsonpath],
  [4090, Oid.regnamespace],
  [4097, Oid.regrole],
  [4192, Oid.regcollation],
  [6150, Oid.int4multirange],
  [6151, Oid.nummultirange],
  [6152, Oid.tsmultirange],
  [6153, Oid.tstzmultirange],
  [6155, Oid.datemultirange],
  [6157, Oid.int8multirange],
  [5039, Oid.pgSnapshot],
  [271, Oid.xid8],
]);

/** Element type of a built-in array type, and what stands between elements; undefined for every other type. */
export function arrayElementOf(typeOid: number): { elementOid: number; delimiter: string } | undefined {
  const elementOid = ARRAY_ELEMENTS.get(typeOid);
  // box is the only type whose arrays are not separated by commas.
  return elementOid === undefined ? undefined : { elementOid, delimiter: elementOid === Oid.box ? ';' : ',' };
}

const RANGE_SUBTYPES: ReadonlyMap<number, number> = new Map<number, number>([
  [Oid.int4range, Oid.int4],
  [Oid.int8range, Oid.int8],
  [Oid.numrange, Oid.numeric],
  [Oid.daterange, Oid.date],
  [Oid.tsrange, Oid.timestamp],
  [Oid.tstzrange, Oid.timestamptz],
]);

/** Type of the bounds of a built-in range type; undefined for every other type. */
export function rangeSubtypeOf(typeOid: number): number | undefined {
  return RANGE_SUBTYPES.get(typeOid);
}

const MULTIRANGE_RANGES: ReadonlyMap<number, number> = new Map<number, number>([
  [Oid.int4multirange, Oid.int4range],
  [Oid.int8multirange, Oid.int8range],
  [Oid.nummultirange, Oid.numrange],
  [Oid.datemultirange, Oid.daterange],
  [Oid.tsmultirange, Oid.tsrange],
  [Oid.tstzmultirange, Oid.tstzrange],
]);

/** Range type of a built-in multirange type; undefined for every other type. */
export function multirangeRangeOf(typeOid: number): number | undefined {
  return MULTIRANGE_RANGES.get(typeOid);
}

/** pg_type's names, where they are not the ones here. */
const CATALOG_NAMES: Readonly<Record<string, string>> = {
  txidSnapshot: 'txid_snapshot',
  pgLsn: 'pg_lsn',
  pgSnapshot: 'pg_snapshot',
};

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Oid).map(([name, oid]): [number, string] => [oid, CATALOG_NAMES[name] ?? name]),
);

/** `pg_type.typname` of a built-in type; undefined for a type that is not known here. */
export function builtinNameOf(typeOid: number): string | undefined {
  const elementOid = ARRAY_ELEMENTS.get(typeOid);
  return elementOid === undefined ? NAMES.get(typeOid) : `_${NAMES.get(elementOid)}`;
}
