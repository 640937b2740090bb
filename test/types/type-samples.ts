import type { PostgresMajor } from '../../src/cli/postgres-binaries.js';

/** Literals of one type, as the server takes them. */
export interface TypeSamples {
  readonly type: string;
  readonly literals: readonly string[];
  /** The first major that takes these literals. */
  readonly since?: PostgresMajor;
}

const MANY_CHARACTERS = '😀 größe 列 \'"\\ {}[](),; \t\n NULL \u0001 \u007f \u2028 \ufeff';

/** Extremes of every built-in type that a column can have and that has a binary form. */
export const TYPE_SAMPLES: readonly TypeSamples[] = [
  { type: 'bool', literals: ['t', 'f'] },
  { type: 'int2', literals: ['0', '1', '-1', '63', '64', '127', '128', '32767', '-32768'] },
  { type: 'int4', literals: ['0', '-1', '64', '255', '256', '65535', '65536', '2147483647', '-2147483648'] },
  {
    type: 'int8',
    literals: ['0', '-1', '64', '4294967295', '4294967296', '-4294967296', '-4294967297', '9007199254740993']
      .concat('999999999999999', '1000000000000000', '-999999999999999', '-1000000000000000', '281474976710656')
      .concat('9223372036854775807', '-9223372036854775808', '1000000000', '999999999999999999'),
  },
  { type: 'oid', literals: ['0', '2147483648', '4294967295'] },
  { type: 'xid', literals: ['0', '4294967295'] },
  { type: 'cid', literals: ['0', '4294967295'] },
  {
    type: 'float4',
    literals: [
      '0',
      '-0',
      '1.1',
      '0.1',
      '123456.789',
      '16777216',
      '16777217',
      '33554448',
      '1e-45',
      '1.1754942e-38',
    ].concat(
      '1.17549435e-38',
      '3.4028235e38',
      '-3.4028235e38',
      'NaN',
      'Infinity',
      '-Infinity',
      '1e15',
      '1e-5',
      '9.5e7',
    ),
  },
  {
    type: 'float8',
    literals: ['0', '-0', '1.1', '0.1', '123456789012345678', '9007199254740993', '5e-324', '2.2250738585072014e-308']
      .concat('1.7976931348623157e308', '-1.7976931348623157e308', 'NaN', 'Infinity', '-Infinity', '1e15', '1e-5')
      .concat('1e22', '1e23', '2e22', '123456789.123456789', '0.30000000000000004', '1e14', '0.0001', '0.00001'),
  },
  {
    type: 'numeric',
    literals: ['0', '0.00', '-0.001', '1', '10', '9999', '10000', '10001.0001', '0.0001', '0.00001', '123456.7890']
      .concat('NaN', 'Infinity', '-Infinity', '1e1000', '-1e-1000', '99999999999999999999.99999999999999999999')
      .concat(`1e131071`, `1e-16383`, `9${'0'.repeat(200)}.${'0'.repeat(200)}1`, '0.10', '1000000000000', '.5000'),
  },
  {
    type: 'text',
    literals: ['', 'a', MANY_CHARACTERS, `\ufeff${'x'.repeat(100)}`, 'ü'.repeat(1000), 'x'.repeat(70000)],
  },
  { type: 'varchar', literals: ['', 'a', MANY_CHARACTERS, 'infinity'] },
  { type: 'bpchar', literals: ['', 'a  ', MANY_CHARACTERS] },
  { type: 'name', literals: ['', 'a', 'größe'] },
  { type: '"char"', literals: ['', 'a', '\\', ' '] },
  { type: 'xml', literals: ['<a b="c">größe &amp;</a>', ''] },
  { type: 'bytea', literals: ['\\x', '\\x00', '\\xdeadBEEF', `\\x${'00ff'.repeat(500)}`, 'abc\\\\def\\001'] },
  { type: 'uuid', literals: ['00000000-0000-0000-0000-000000000000', 'a0EEbc99-9c0b-4ef8-bb6d-6bb9bd380a11'] },
  {
    type: 'json',
    literals: [
      'null',
      ' {"a" : [1, 2.50, "x\\u00e9\\ud83d\\ude00"], "__proto__": {}, "a": 2}',
      '"x"',
      '1e400',
      '[]',
      '0.1',
    ],
  },
  {
    type: 'jsonb',
    literals: ['null', '{"a": [1, 2.50, "x\\u00e9"], "__proto__": {}}', '"x"', '1e400', '-0', '[[[]]]'],
  },
  {
    type: 'date',
    literals: ['2000-01-01', '1999-12-31', '2024-02-29', '1900-03-01', '0001-01-01', '0001-12-31 BC', '0002-02-01 BC']
      .concat('4713-11-24 BC', '4714-11-24 BC', '9999-12-31', '10000-01-01', '99999-01-01', '5874897-12-31')
      .concat('infinity', '-infinity', '1000000-06-15', '999999-06-15', '0005-02-29 BC'),
  },
  { type: 'time', literals: ['00:00', '23:59:59.999999', '24:00', '12:34:56.7', '01:02:03.000100', '10:00:00.000001'] },
  {
    type: 'timetz',
    literals: [
      '00:00+00',
      '23:59:59.999999-15:59:59',
      '24:00+15:59',
      '12:34:56.7+05:30',
      '01:02:03-00:00:01',
      '1:00-02',
    ],
  },
  {
    type: 'timestamp',
    literals: [
      '2000-01-01',
      '1999-12-31 23:59:59.999999',
      '0001-01-01',
      '0001-12-31 23:59:59.5 BC',
      '1714-06-12 00:00:00.1',
    ]
      .concat('4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999', '10000-01-01', 'infinity', '-infinity')
      .concat('2285-06-05 23:47:34.740992', '1714-07-28 00:12:25.259007', '1970-01-01 00:00:00.000001'),
  },
  {
    type: 'timestamptz',
    literals: [
      '2000-01-01+00',
      '1999-12-31 23:59:59.999999+14',
      '0001-12-31 23:59:59.5+00 BC',
      '2024-03-10 02:30:00-08',
    ].concat('4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00', '10000-01-01+00', 'infinity', '-infinity'),
  },
  {
    type: 'interval',
    literals: [
      '0',
      '1 year 2 mons 3 days 04:05:06.789',
      '-1 year',
      '1 mon -1 day 1 sec',
      '-1 mon 1 day',
      '1 year -1 mon',
    ]
      .concat('-1 day 00:00:00.000001', '1 day -00:00:01.5', '-13 mons +2 days', '2147483647 mons', '-2147483648 days')
      .concat('2000000000:59:59.999999', '-2000000000:59:59.999999', '100:00:00', '1 day', '-1 days', '-1 year 5 sec'),
  },
  { type: 'interval', literals: ['infinity', '-infinity'], since: 17 },
  {
    type: 'money',
    literals: ['0', '0.01', '-0.01', '1', '-1234.56', '999', '1000', '92233720368547758.07', '-92233720368547758.08'],
  },
  {
    type: 'inet',
    literals: [
      '0.0.0.0',
      '255.255.255.255',
      '192.168.1.5/24',
      '10.0.0.0/8',
      '::',
      '::1',
      '::2',
      '::ffff:1.2.3.4',
      '::1.2.3.4',
    ]
      .concat(
        '2001:db8::1/64',
        '1:0:0:2:0:0:0:3',
        '1:0:0:2:3:0:0:4',
        'ff02::',
        '1::',
        '1:2:3:4:5:6:7:8',
        '::ffff:0:0',
        '::/0',
      )
      .concat(
        '1:0:2:3:4:5:6:7',
        '0:0:0:0:0:1:0:0',
        '0:0:0:0:0:0:1:0',
        '64:ff9b::1.2.3.4',
        '0:1:0:0:0:0:0:0',
        '::1:2:3',
      ),
  },
  {
    type: 'cidr',
    literals: ['10.0.0.0/8', '192.168.1.1/32', '0.0.0.0/0', '2001:db8::/32', '::1/128', '::/0', '::ffff:1.2.3.4/128'],
  },
  { type: 'macaddr', literals: ['00:00:00:00:00:00', '08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff'] },
  { type: 'macaddr8', literals: ['08:00:2b:01:02:03:04:05', 'ff:ff:ff:ff:ff:ff:ff:ff'] },
  { type: 'bit(9)', literals: ['000000000', '101010101', '111111111'] },
  { type: 'varbit', literals: ['', '0', '1', '10000000', '110010101011', '1'.repeat(1000)] },
  {
    type: 'point',
    literals: ['(0,0)', '(-0,1.1)', '(1e300,-1e-300)', '(Infinity,NaN)', '(123456789012345,1234567890123456)'],
  },
  { type: 'line', literals: ['{1,-1,0}', '{0.1,2e22,-3}'] },
  { type: 'lseg', literals: ['[(0,0),(1.5,-2)]'] },
  { type: 'box', literals: ['(1,1),(0,0)', '(0.1,0.2),(-1e15,1e-5)'] },
  { type: 'path', literals: ['[(0,0),(1,1),(2,0)]', '((0,0),(1,1))', '((1,2))'] },
  { type: 'polygon', literals: ['((0,0),(1,1),(2,0))', '((1,2))'] },
  { type: 'circle', literals: ['<(0,0),1.5>', '<(1e-5,-1),0>'] },
  {
    type: 'tsvector',
    literals: ['', 'a fat cat', "a:1 fat:2B,4C cat:5A 'x''y':16383 'b\\\\c' größe:3", "'spaced lexeme':1A,2B,3C,4D"],
  },
  {
    type: 'tsquery',
    literals: ['', 'fat', 'fat & rat', 'fat & ( rat | cat )', '!fat', '!( fat & rat )', '!!fat', 'a <-> b <-> c']
      .concat(
        'a <-> ( b <-> c )',
        'a <3> b',
        '( a | b ) & c | d & !e',
        'super:*A',
        'x:ABCD',
        "'it''s' & 'b\\\\c'",
        'größe:*',
      )
      .concat('( a & b ) <-> c', '!a <-> b', '!( a <-> b )', 'a & b & c', 'a | ( b | c )'),
  },
  { type: 'int4range', literals: ['empty', '[1,10)', '(,)', '(,5)', '[5,)', '[-2147483648,2147483647)'] },
  { type: 'int8range', literals: ['empty', '[1,10)', '[-9223372036854775808,9223372036854775807)'] },
  { type: 'numrange', literals: ['empty', '[1.10,2.00]', '(-1e20,NaN)', '[0,0]', '(,Infinity)'] },
  {
    type: 'daterange',
    literals: ['[2024-01-01,2024-12-31)', '[0044-03-15 BC,)', '[-infinity,infinity]', 'empty', '[10000-01-01,)'],
  },
  { type: 'tsrange', literals: ['[2024-01-01 01:02:03.45,)', '["0044-03-15 00:00:00 BC",infinity]', 'empty'] },
  { type: 'tstzrange', literals: ['[2024-01-01 01:02:03.45+02,2025-01-01+00]', '["0044-03-15 00:00:00+00 BC",)'] },
  { type: 'int4multirange', literals: ['{}', '{[1,2)}', '{[1,3),[5,6),[9,)}'] },
  { type: 'int8multirange', literals: ['{}', '{[1,2),[5000000000,)}'] },
  { type: 'nummultirange', literals: ['{}', '{[1.10,2.00],(5,7.0)}'] },
  { type: 'datemultirange', literals: ['{[2024-01-01,2024-12-31),[2026-01-01,)}'] },
  { type: 'tsmultirange', literals: ['{[2024-01-01 00:00:00,2024-12-31 00:00:00)}'] },
  { type: 'tstzmultirange', literals: ['{[2024-01-01 00:00:00+00,2024-12-31 00:00:00+00)}'] },
  { type: 'tid', literals: ['(0,0)', '(4294967295,65535)'] },
  { type: 'xid8', literals: ['0', '18446744073709551615'] },
  { type: 'pg_lsn', literals: ['0/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF'] },
  { type: 'pg_snapshot', literals: ['10:20:10,14,15', '1:1:', '9223372036854775000:9223372036854775807:'] },
  { type: 'txid_snapshot', literals: ['10:20:10,14,15'] },
  { type: 'oidvector', literals: ['', '1', '1 2 4294967295'] },
  { type: 'int2vector', literals: ['', '1', '-1 2 32767'] },
  { type: 'jsonpath', literals: ['$', '$.a[*] ? (@.x > 1)', 'strict $."größe"'] },
];

/** Arrays whose elements JSON can say, so that the server's own to_json tells the nesting. */
export const JSON_ARRAY_SAMPLES: readonly TypeSamples[] = [
  { type: 'bool[]', literals: ['{}', '{t,f,NULL}', '{{t},{f}}'] },
  { type: 'int2[]', literals: ['{}', '{1,NULL,-32768}', '[0:2]={1,2,3}'] },
  { type: 'int4[]', literals: ['{}', '{1,64,NULL}', '{{1,2},{3,4}}', '[0:1][-2:-1]={{1,2},{3,4}}', '{{{{{{1}}}}}}'] },
  {
    type: 'text[]',
    literals: [
      '{}',
      '{""}',
      '{NULL,"NULL",null,"null"}',
      '{a,"b c","d\\"e","f\\\\g","{h}","i,j"," k "}',
      '{{"\\"",x},{y,NULL}}',
    ].concat('{"größe 😀 列","\t\n"}', '{"\\\\\\""}', '[5:6]={"=",[1]}', '{;,"a;b"}', `{${'"x\\\\y",'.repeat(99)}z}`),
  },
  { type: 'varchar[]', literals: ['{a,"b,c",NULL}'] },
  { type: 'float8[]', literals: ['{1.1,-0.5,1e+22,NULL}'] },
  { type: 'uuid[]', literals: ['{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}'] },
  { type: 'jsonb[]', literals: ['{"{\\"a\\": [1, \\"x\\"]}",NULL,"null","[]"}'] },
];

/** Further arrays, compared between text and binary only. */
export const ARRAY_SAMPLES: readonly TypeSamples[] = [
  { type: 'int8[]', literals: ['{9223372036854775807,NULL}'] },
  { type: 'float4[]', literals: ['{1.1,NaN,-Infinity}'] },
  { type: 'numeric[]', literals: ['{1.10,NaN,NULL}'] },
  { type: 'bytea[]', literals: ['{"\\\\xdeadbeef",NULL,"\\\\x"}'] },
  { type: 'timestamptz[]', literals: ['{"2024-01-01 00:00:00+00",NULL,infinity}', '{{"0001-01-01 00:00:00+00 BC"}}'] },
  { type: 'timetz[]', literals: ['{12:00:00+05:30}'] },
  { type: 'date[]', literals: ['{2024-01-01,infinity,"0001-01-01 BC"}'] },
  { type: 'interval[]', literals: ['{"1 day","-1 mon"}'] },
  { type: 'json[]', literals: ['{"{\\"a\\":1}"}'] },
  { type: 'box[]', literals: ['{(1,1),(0,0);(2,2),(0,0);NULL}'] },
  { type: 'point[]', literals: ['{"(1,2)",NULL}'] },
  { type: 'inet[]', literals: ['{10.0.0.1/8,::1}'] },
  { type: 'int4range[]', literals: ['{"[1,2)",empty}'] },
  { type: 'int4multirange[]', literals: ['{"{[1,2),[4,5)}","{}"}'] },
  { type: 'money[]', literals: ['{"$1,234.56"}'] },
  { type: 'tsvector[]', literals: ["{\"'a':1 'b'\"}"] },
  { type: '"char"[]', literals: ['{a,""}'] },
  { type: 'bit(3)[]', literals: ['{101,010}'] },
  { type: 'oidvector[]', literals: ['{"1 2","3"}'] },
  { type: 'pg_lsn[]', literals: ['{0/0,1/2}'] },
  { type: 'oid[]', literals: ['{4294967295}'] },
  { type: 'name[]', literals: ['{a,NULL}'] },
];
