import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';
import { arrayBinaryWriter } from './array-binary.js';
import { arrayTextWriter } from './array-text.js';
import { BinaryText, TEXT_SENDS, VERSIONED_TEXT_SENDS } from './binary-text.js';
import { writeBooleanBinary, writeBooleanText } from './boolean.js';
import { writeByteaBinary, writeByteaText } from './bytea.js';
import { compositeBinaryWriter, compositeTextWriter } from './composite.js';
import {
  writeDateBinary,
  writeTimeBinary,
  writeTimestampBinary,
  writeTimestamptzBinary,
  writeTimetzBinary,
} from './date-time-binary.js';
import {
  writeDateText,
  writeTimestampText,
  writeTimestamptzText,
  writeTimeText,
  writeTimetzText,
} from './date-time-text.js';
import { writeFloat4Binary, writeFloat8Binary, writeFloatText } from './float.js';
import { writeHstoreBinary, writeHstoreText } from './hstore.js';
import {
  writeInt2Binary,
  writeInt2Text,
  writeInt4Binary,
  writeInt4Text,
  writeInt8Binary,
  writeInt8Text,
  writeUint4Binary,
  writeUint4Text,
} from './integer.js';
import { writeJson, writeJsonbBinary } from './json.js';
import { writeNumericBinary } from './numeric.js';
import { Oid } from './oids.js';
import { EXTENSION_FUNCTION, EXTENSION_PG } from './pack-extensions.js';
import type { PackWriter } from './pack-writer.js';
import { multirangeBinaryWriter, multirangeTextWriter, rangeBinaryWriter, rangeTextWriter } from './range-value.js';
import { printed, type ServerText, serverTextOf, serverTextWriter } from './server-text.js';
import { writeCharBinary, writeCharText, writeText } from './text.js';
import { builtinShapeOf, type TypeDescriptor, type TypeShape } from './type-descriptor.js';
import { type TypeRule, type TypeRules, type TypesMode, typeRulesFrom } from './type-rules.js';
import { writeUuidBinary } from './uuid.js';

/**
 * Appends the column value in `source[start, end)` to `out`, as exactly one MessagePack value.
 * @throws DecodeError, with the offset in `source`, when the bytes are not such a value. `out` may then hold part of it.
 */
export type ColumnWriter = (source: Buffer, start: number, end: number, out: PackWriter) => void;

/** How the server sent a value: `t` or `b` in a tuple. */
export type ColumnFormat = 'text' | 'binary';

/** The writer for columns of a type, without a description of types that are not built in. */
export function columnWriter(typeOid: number, format: ColumnFormat, types: TypesMode | TypeRules): ColumnWriter {
  return new ColumnWriters(types, []).writer(typeOid, format);
}

/**
 * Types in types: beyond, the server's text is given. The server's own types cannot nest without end, but a description
 * that was read while they changed might.
 */
const MAX_DEPTH = 32;

/**
 * Finds the writers for columns: built-in types as they are, described ones from their parts, by the rules of the stream.
 * Of types that nobody knows, text becomes a string and binary a Buffer.
 */
export class ColumnWriters {
  readonly #rules: TypeRules;
  readonly #types: ReadonlyMap<number, TypeDescriptor>;
  readonly #known = new Map<string, ColumnWriter>();
  readonly #binaryText: BinaryText;
  #depth = 0;

  constructor(types: TypesMode | TypeRules, descriptors: readonly TypeDescriptor[]) {
    this.#rules = typeRulesFrom(types);
    this.#types = new Map(descriptors.map((descriptor) => [descriptor.oid, descriptor]));
    this.#binaryText = new BinaryText(this.#types);
  }

  writer(typeOid: number, format: ColumnFormat): ColumnWriter {
    return this.#writer(typeOid, format, this.#rules.mode);
  }

  /** By what was said about the type, about the type of its domain or of its elements, else by `mode`. */
  #writer(typeOid: number, format: ColumnFormat, mode: TypesMode): ColumnWriter {
    const key = `${typeOid} ${format} ${mode}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#depth === MAX_DEPTH) return this.#textWriter(typeOid, format);
    this.#depth++;
    const writer = this.#find(typeOid, format, mode);
    this.#depth--;
    this.#known.set(key, writer);
    return writer;
  }

  #find(typeOid: number, format: ColumnFormat, mode: TypesMode): ColumnWriter {
    const override = this.#overrideOf(typeOid);
    if (override !== undefined) return this.#ruleWriter(typeOid, format, override);
    const shape = this.#shapeOf(typeOid);
    if (shape?.kind === 'domain') return this.#writer(shape.baseOid, format, mode);
    if (mode !== 'lossless' && shape?.kind === 'array' && this.#isOverridden(shape.elementOid)) {
      return this.#arrayWriter(shape, format, mode);
    }
    return this.#ruleWriter(typeOid, format, mode);
  }

  #ruleWriter(typeOid: number, format: ColumnFormat, rule: TypeRule): ColumnWriter {
    if (rule === 'lossless') return this.#losslessWriter(typeOid, format);
    if (rule === 'text') return this.#textWriter(typeOid, format);
    const asText = rule === 'pg' ? unparsedWriter(EXTENSION_PG, this.#baseOid(typeOid)) : deferringWriter(rule);
    if (format === 'text') return asText;
    const printer = this.#binaryText.find(typeOid);
    return printer === undefined ? writeByteaBinary : printedWriter(printer, asText);
  }

  /** The server's text; of a binary value that has none here, its bytes. */
  #textWriter(typeOid: number, format: ColumnFormat): ColumnWriter {
    if (format === 'text') return writeText;
    const printer = this.#binaryText.find(typeOid);
    return printer === undefined ? writeByteaBinary : serverTextWriter(printer);
  }

  #losslessWriter(typeOid: number, format: ColumnFormat): ColumnWriter {
    const shape = this.#shapeOf(typeOid);
    const isText = format === 'text';
    switch (shape?.kind) {
      case undefined:
        return isText ? (TEXT_WRITERS.get(typeOid) ?? writeText) : builtinBinaryWriter(typeOid);
      case 'enum':
        return writeText;
      case 'domain': {
        // Said of the domain itself: whatever is said of its base type does not count.
        const baseOid = this.#baseOid(typeOid);
        return this.#shapeOf(baseOid)?.kind === 'domain'
          ? this.#textWriter(typeOid, format)
          : this.#losslessWriter(baseOid, format);
      }
      case 'array':
        return this.#arrayWriter(shape, format, 'lossless');
      case 'composite':
        return this.#compositeWriter(typeOid, shape, format);
      case 'range': {
        const bound = this.#writer(shape.subtypeOid, format, 'lossless');
        return isText ? rangeTextWriter(bound) : rangeBinaryWriter(bound);
      }
      case 'multirange': {
        const range = this.#shapeOf(shape.rangeOid);
        if (range?.kind !== 'range') return this.#textWriter(typeOid, format);
        const bound = this.#writer(range.subtypeOid, format, 'lossless');
        return isText ? multirangeTextWriter(bound) : multirangeBinaryWriter(bound);
      }
      case 'base':
        return isText ? baseTextWriter(shape.send) : baseBinaryWriter(shape.send);
      default:
        return shape satisfies never;
    }
  }

  #arrayWriter(shape: TypeShape & { kind: 'array' }, format: ColumnFormat, mode: TypesMode): ColumnWriter {
    const element = this.#writer(shape.elementOid, format, mode);
    if (format === 'text') return arrayTextWriter(element, shape.delimiter);
    return arrayBinaryWriter((oid) => (oid === shape.elementOid ? element : this.#foreignWriter(oid)));
  }

  #compositeWriter(typeOid: number, shape: TypeShape & { kind: 'composite' }, format: ColumnFormat): ColumnWriter {
    const layouts = [shape.fields, ...shape.earlierFields].map((fields) => ({
      names: fields.map(({ name }) => Buffer.from(name)),
      typeOids: fields.map((field) => field.typeOid),
      writers: fields.map((field) => this.#writer(field.typeOid, format, 'lossless')),
    }));
    const { mismatches } = this.#rules;
    const other = { report: () => mismatches.add(typeOid), write: this.#textWriter(typeOid, format) };
    return format === 'text' ? compositeTextWriter(layouts, other) : compositeBinaryWriter(layouts, other);
  }

  /**
   * For elements of binary arrays that name another type than the description. Only types without parts of their own are
   * followed, whatever OID the bytes name: that bounds the recursion.
   */
  #foreignWriter(typeOid: number): ColumnWriter {
    return this.#shapeOf(typeOid) === undefined ? builtinBinaryWriter(typeOid) : this.#textWriter(typeOid, 'binary');
  }

  #overrideOf(typeOid: number): TypeRule | undefined {
    return this.#rules.overrideOf(typeOid, this.#types.get(typeOid));
  }

  #shapeOf(typeOid: number): TypeShape | undefined {
    return this.#types.get(typeOid) ?? builtinShapeOf(typeOid);
  }

  /** Whether something was said about the type, or the types that it is a domain over or an array of. */
  #isOverridden(typeOid: number): boolean {
    let oid = typeOid;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      if (this.#overrideOf(oid) !== undefined) return true;
      const shape = this.#shapeOf(oid);
      if (shape?.kind === 'domain') oid = shape.baseOid;
      else if (shape?.kind === 'array') oid = shape.elementOid;
      else return false;
    }
    return false;
  }

  /** What a domain is in the end; node-postgres is told nothing else. */
  #baseOid(typeOid: number): number {
    let oid = typeOid;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const shape = this.#shapeOf(oid);
      if (shape?.kind !== 'domain') return oid;
      oid = shape.baseOid;
    }
    return oid;
  }
}

const TEXT_WRITERS: ReadonlyMap<number, ColumnWriter> = new Map<number, ColumnWriter>([
  [Oid.bool, writeBooleanText],
  [Oid.bytea, writeByteaText],
  [Oid.char, writeCharText],
  [Oid.int2, writeInt2Text],
  [Oid.int4, writeInt4Text],
  [Oid.int8, writeInt8Text],
  [Oid.oid, writeUint4Text],
  [Oid.xid, writeUint4Text],
  [Oid.cid, writeUint4Text],
  [Oid.float4, writeFloatText],
  [Oid.float8, writeFloatText],
  [Oid.json, writeJson],
  [Oid.jsonb, writeJson],
  [Oid.date, writeDateText],
  [Oid.time, writeTimeText],
  [Oid.timetz, writeTimetzText],
  [Oid.timestamp, writeTimestampText],
  [Oid.timestamptz, writeTimestamptzText],
]);

const BINARY_WRITERS: ReadonlyMap<number, ColumnWriter> = new Map<number, ColumnWriter>([
  [Oid.bool, writeBooleanBinary],
  [Oid.bytea, writeByteaBinary],
  [Oid.char, writeCharBinary],
  [Oid.name, writeText],
  [Oid.text, writeText],
  [Oid.varchar, writeText],
  [Oid.bpchar, writeText],
  [Oid.xml, writeText],
  [Oid.refcursor, writeText],
  [Oid.cstring, writeText],
  [Oid.int2, writeInt2Binary],
  [Oid.int4, writeInt4Binary],
  [Oid.int8, writeInt8Binary],
  [Oid.oid, writeUint4Binary],
  [Oid.xid, writeUint4Binary],
  [Oid.cid, writeUint4Binary],
  [Oid.float4, writeFloat4Binary],
  [Oid.float8, writeFloat8Binary],
  [Oid.numeric, writeNumericBinary],
  [Oid.uuid, writeUuidBinary],
  [Oid.json, writeJson],
  [Oid.jsonb, writeJsonbBinary],
  [Oid.date, writeDateBinary],
  [Oid.time, writeTimeBinary],
  [Oid.timetz, writeTimetzBinary],
  [Oid.timestamp, writeTimestampBinary],
  [Oid.timestamptz, writeTimestamptzBinary],
]);

function builtinBinaryWriter(typeOid: number): ColumnWriter {
  const writer = BINARY_WRITERS.get(typeOid);
  if (writer !== undefined) return writer;
  const serverText = serverTextOf(typeOid);
  return serverText === undefined ? writeByteaBinary : serverTextWriter(serverText);
}

/*
 * Types of extensions are known by the functions that send them. Those whose binary form is their text may be
 * anybody's: citext is one.
 */

function baseTextWriter(send: string): ColumnWriter {
  return send === 'hstore_send' ? writeHstoreText : writeText;
}

function baseBinaryWriter(send: string): ColumnWriter {
  if (send === 'hstore_send') return writeHstoreBinary;
  if (TEXT_SENDS.has(send)) return writeText;
  return VERSIONED_TEXT_SENDS.has(send) ? writeVersionedText : writeByteaBinary;
}

/** ltree and its queries: a version byte 1, then the text. */
function writeVersionedText(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (start === end || source[start] !== 1) throw new DecodeError('value of an unknown version', { offset: start });
  writeText(source, start + 1, end, out);
}

function unparsedWriter(extension: number, parser: number): ColumnWriter {
  return (source, start, end, out) => out.writeUnparsed(extension, parser, source, start, end);
}

function deferringWriter(rule: TypeRule & object): ColumnWriter {
  if (rule.kind === 'function') return unparsedWriter(EXTENSION_FUNCTION, rule.index);
  const { pack } = rule;
  return (source, start, end, out) => {
    const bytes = source.subarray(start, end);
    if (!isUtf8(bytes)) throw new DecodeError('text is not valid UTF-8', { offset: start });
    out.writePacked(pack(bytes.toString('utf8')));
  };
}

/** Prints a binary value, for writers that take text. */
function printedWriter(print: ServerText, writer: ColumnWriter): ColumnWriter {
  return (source, start, end, out) => {
    const text = Buffer.from(printed(print, source, start, end));
    writer(text, 0, text.length, out);
  };
}
