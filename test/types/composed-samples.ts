/** Types that are not built in, and what their literals are in JavaScript, by hand. */
export interface ComposedSamples {
  readonly type: string;
  /** Literal, then value. */
  readonly values: readonly (readonly [literal: string, value: unknown])[];
}

export const COMPOSED_SCHEMA = `
  CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
  CREATE SCHEMA "Odd.schema";
  CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', 'größe, 列', 'NULL', '');
  CREATE TYPE "Odd.schema"."Odd.name" AS ENUM ('a');
  CREATE DOMAIN positive AS int8 CHECK (VALUE > 0);
  CREATE DOMAIN moods AS mood[];
  CREATE DOMAIN deep AS positive;
  CREATE TYPE pair AS (a int8, "b c" text);
  CREATE DOMAIN pair_domain AS pair;
  CREATE TYPE empty AS ();
  CREATE TYPE one AS ("only" text);
  CREATE TYPE odd AS ("__proto__" int, constructor text, "größe" bool);
  CREATE TYPE nested AS (
    id int, pairs pair[], inner_pair pair, moods moods, at timestamptz, data bytea, doc jsonb, span numrange, tags hstore
  );
  CREATE TYPE textrange AS RANGE (SUBTYPE = text);
  CREATE TYPE moodrange AS RANGE (SUBTYPE = mood);
  CREATE TABLE rowtype (id int, note text);`;

/** COLLATE "C" order holds for the bounds of textrange here in any collation. */
export const COMPOSED_SAMPLES: readonly ComposedSamples[] = [
  {
    type: 'mood',
    values: ['sad', 'it\'s "ok"', 'größe, 列', 'NULL', ''].map((label) => [label, label] as const),
  },
  { type: '"Odd.schema"."Odd.name"', values: [['a', 'a']] },
  {
    type: 'mood[]',
    values: [
      ['{}', []],
      ['{sad,NULL,"NULL","","it\'s \\"ok\\"","größe, 列"}', ['sad', null, 'NULL', '', 'it\'s "ok"', 'größe, 列']],
      ['[0:1][5:5]={{sad},{NULL}}', [['sad'], [null]]],
    ],
  },
  { type: 'positive', values: [['9223372036854775807', 9223372036854775807n]] },
  { type: 'deep', values: [['1', 1n]] },
  { type: 'deep[]', values: [['{1,NULL}', [1n, null]]] },
  { type: 'moods', values: [['{sad,NULL}', ['sad', null]]] },
  { type: 'moods[]', values: [['{"{sad,NULL}","{}",NULL}', [['sad', null], [], null]]] },
  {
    type: 'pair',
    values: [
      ['(,)', { a: null, 'b c': null }],
      ['(-9223372036854775808,"")', { a: -9223372036854775808n, 'b c': '' }],
      ['(1,"(a),""b"",\\\\c{} ")', { a: 1n, 'b c': '(a),"b",\\c{} ' }],
      ['(2,NULL)', { a: 2n, 'b c': 'NULL' }],
      ['(3,"größe 😀\n\t\u2028")', { a: 3n, 'b c': 'größe 😀\n\t\u2028' }],
    ],
  },
  { type: 'pair_domain', values: [['(1,x)', { a: 1n, 'b c': 'x' }]] },
  { type: 'pair_domain[]', values: [['{"(1,x)",NULL}', [{ a: 1n, 'b c': 'x' }, null]]] },
  {
    type: 'pair[]',
    values: [
      ['{}', []],
      [
        '{"(1,\\"a \\"\\"b\\"\\" \\\\\\\\ c\\")",NULL,"(,)"}',
        [{ a: 1n, 'b c': 'a "b" \\ c' }, null, { a: null, 'b c': null }],
      ],
      [
        '[2:2][3:4]={{"(1,a)","(2,b)"}}',
        [
          [
            { a: 1n, 'b c': 'a' },
            { a: 2n, 'b c': 'b' },
          ],
        ],
      ],
    ],
  },
  { type: 'empty', values: [['()', {}]] },
  {
    type: 'one',
    values: [
      ['()', { only: null }],
      ['("")', { only: '' }],
      ['("""")', { only: '"' }],
    ],
  },
  {
    type: 'odd',
    values: [['(1,x,t)', JSON.parse('{"__proto__": 1, "constructor": "x", "größe": true}')]],
  },
  {
    type: 'nested',
    values: [
      [
        `(7,"{""(1,\\\\""x y\\\\"")"",NULL}","(2,""q,"")","{sad,""NULL""}","2024-01-02 03:04:05.000006+00","\\\\x00ff","{""k"": [1, null]}","[1.10,)","""a""=>""1"", ""b""=>NULL")`,
        {
          id: 7,
          pairs: [{ a: 1n, 'b c': 'x y' }, null],
          inner_pair: { a: 2n, 'b c': 'q,' },
          moods: ['sad', 'NULL'],
          at: '2024-01-02T03:04:05.000006Z',
          data: Buffer.from([0, 255]),
          doc: { k: [1, null] },
          span: { lower: '1.10', upper: null, lowerInclusive: true, upperInclusive: false },
          tags: { a: '1', b: null },
        },
      ],
      [
        '(,,,,,,,,)',
        {
          id: null,
          pairs: null,
          inner_pair: null,
          moods: null,
          at: null,
          data: null,
          doc: null,
          span: null,
          tags: null,
        },
      ],
    ],
  },
  { type: 'rowtype', values: [['(1,"a b")', { id: 1, note: 'a b' }]] },
  {
    type: 'textrange',
    values: [
      ['empty', { empty: true }],
      ['(,)', { lower: null, upper: null, lowerInclusive: false, upperInclusive: false }],
      ['["","a""b\\\\,()[]"]', { lower: '', upper: 'a"b\\,()[]', lowerInclusive: true, upperInclusive: true }],
      ['("a b",infinity)', { lower: 'a b', upper: 'infinity', lowerInclusive: false, upperInclusive: false }],
    ],
  },
  {
    type: 'textmultirange',
    values: [
      ['{}', []],
      [
        '{["a","b"),["c,","d)}"]}',
        [
          { lower: 'a', upper: 'b', lowerInclusive: true, upperInclusive: false },
          { lower: 'c,', upper: 'd)}', lowerInclusive: true, upperInclusive: true },
        ],
      ],
    ],
  },
  {
    type: 'textrange[]',
    values: [
      [
        '{"[a,\\"b c\\"]",empty}',
        [{ lower: 'a', upper: 'b c', lowerInclusive: true, upperInclusive: true }, { empty: true }],
      ],
    ],
  },
  {
    type: 'moodrange',
    values: [['[sad,"größe, 列"]', { lower: 'sad', upper: 'größe, 列', lowerInclusive: true, upperInclusive: true }]],
  },
  {
    type: 'hstore',
    values: [
      ['', {}],
      ['a=>1, b=>NULL, "NULL"=>"NULL", ""=>""', { a: '1', b: null, NULL: 'NULL', '': '' }],
      ['"q\\"\\\\,=>"=>"größe 😀\n"', { 'q"\\,=>': 'größe 😀\n' }],
      ['__proto__=>x', JSON.parse('{"__proto__": "x"}')],
    ],
  },
  { type: 'hstore[]', values: [['{"\\"a\\"=>\\"1\\"",NULL}', [{ a: '1' }, null]]] },
  {
    type: 'citext',
    values: [
      ['MiXed', 'MiXed'],
      ['', ''],
    ],
  },
  { type: 'citext[]', values: [['{A,"b c",NULL}', ['A', 'b c', null]]] },
  {
    type: 'ltree',
    values: [
      ['Top.Science.stars_1', 'Top.Science.stars_1'],
      ['', ''],
    ],
  },
  { type: 'ltree[]', values: [['{a.b,NULL}', ['a.b', null]]] },
  { type: 'lquery', values: [['Top.*{1,2}.a|b', 'Top.*{1,2}.a|b']] },
];
