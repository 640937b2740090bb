import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';

/**
 * tsvector binary:
 * ```
 * int32     count of lexemes, then for each:
 * cstring   lexeme
 * uint16    count of positions
 * uint16[]  positions: weight (D, C, B, A) in the two highest bits, position in the others
 * ```
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/tsvector.c
 */
export function tsvectorText(bytes: Buffer): string {
  const lexemeCount = bytes.readInt32BE(0);
  const lexemes: string[] = [];
  let at = 4;
  for (let index = 0; index < lexemeCount; index++) {
    const lexemeEnd = cstringEnd(bytes, at);
    const lexeme = quoted(bytes, at, lexemeEnd);
    const positionCount = bytes.readUInt16BE(lexemeEnd + 1);
    at = lexemeEnd + 3;
    const positions: string[] = [];
    for (let position = 0; position < positionCount; position++, at += 2) {
      const packed = bytes.readUInt16BE(at);
      positions.push(`${packed & 0x3fff}${POSITION_WEIGHTS[packed >> 14]}`);
    }
    lexemes.push(positionCount === 0 ? lexeme : `${lexeme}:${positions.join(',')}`);
  }
  requireEnd(bytes, at);
  return lexemes.join(' ');
}

const POSITION_WEIGHTS = ['', 'C', 'B', 'A'];

/** An operand or operator with its operands, as text, and what decides whether it needs parentheses. */
interface QueryTerm {
  readonly text: string;
  readonly operator: number;
}

const OPERAND = 0;
const OPERATOR_NOT = 1;
const OPERATOR_AND = 2;
const OPERATOR_OR = 3;
const OPERATOR_PHRASE = 4;
/** By operator; what binds weaker than its parent is put in parentheses. */
const PRIORITIES = [5, 4, 2, 1, 3];

/**
 * tsquery binary, in prefix order with the right operand before the left:
 * ```
 * int32     count of items, then each:
 * operand   uint8 1, uint8 weights (bits D, C, B, A), uint8 1 for a prefix, cstring
 * operator  uint8 2, uint8 operator, and int16 distance for a phrase
 * ```
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/tsquery.c
 */
export function tsqueryText(bytes: Buffer): string {
  const itemCount = bytes.readInt32BE(0);
  // An operator takes two bytes.
  if (itemCount < 0 || itemCount > bytes.length / 2) {
    throw new DecodeError(`tsquery of ${itemCount} items`, { offset: 0 });
  }
  const starts: number[] = [];
  let end = 4;
  for (let index = 0; index < itemCount; index++) {
    starts.push(end);
    end = itemEnd(bytes, end);
  }
  requireEnd(bytes, end);
  if (itemCount === 0) {
    return '';
  }
  // From the last item to the first, every operator finds its operands on the stack: no recursion.
  const terms: QueryTerm[] = [];
  for (const start of starts.reverse()) {
    terms.push(bytes[start] === 1 ? operandTerm(bytes, start) : operatorTerm(bytes, start, terms));
  }
  const [root] = terms;
  if (root === undefined || terms.length !== 1) {
    throw new DecodeError('tsquery has operands without operator', { offset: 0 });
  }
  return root.text;
}

function itemEnd(bytes: Buffer, at: number): number {
  const kind = bytes.readUInt8(at);
  if (kind === 1) {
    return cstringEnd(bytes, at + 3) + 1;
  }
  const operator = bytes.readUInt8(at + 1);
  if (kind !== 2 || operator < OPERATOR_NOT || operator > OPERATOR_PHRASE) {
    throw new DecodeError('tsquery has an unknown item', { offset: at });
  }
  return operator === OPERATOR_PHRASE ? at + 4 : at + 2;
}

function operandTerm(bytes: Buffer, at: number): QueryTerm {
  const weights = bytes.readUInt8(at + 1);
  const prefix = bytes.readUInt8(at + 2) === 0 ? '' : '*';
  const flags =
    prefix +
    ((weights & 8) === 0 ? '' : 'A') +
    ((weights & 4) === 0 ? '' : 'B') +
    ((weights & 2) === 0 ? '' : 'C') +
    ((weights & 1) === 0 ? '' : 'D');
  const text = quoted(bytes, at + 3, cstringEnd(bytes, at + 3));
  return { text: flags === '' ? text : `${text}:${flags}`, operator: OPERAND };
}

function operatorTerm(bytes: Buffer, at: number, terms: QueryTerm[]): QueryTerm {
  const operator = bytes.readUInt8(at + 1);
  const right = terms.pop();
  const left = operator === OPERATOR_NOT ? right : terms.pop();
  if (right === undefined || left === undefined) {
    throw new DecodeError('tsquery operator lacks an operand', { offset: at });
  }
  if (operator === OPERATOR_NOT) {
    return { text: `!${childText(right, operator, false)}`, operator };
  }
  const symbol = operator === OPERATOR_PHRASE ? phraseSymbol(bytes.readInt16BE(at + 2)) : BINARY_SYMBOLS[operator];
  // A phrase on the right of a phrase would otherwise be read from the left.
  const isRightPhrase = operator === OPERATOR_PHRASE;
  return {
    text: `${childText(left, operator, false)} ${symbol} ${childText(right, operator, isRightPhrase)}`,
    operator,
  };
}

const BINARY_SYMBOLS: Readonly<Record<number, string>> = { [OPERATOR_AND]: '&', [OPERATOR_OR]: '|' };

function phraseSymbol(distance: number): string {
  return distance === 1 ? '<->' : `<${distance}>`;
}

function childText(child: QueryTerm, parentOperator: number, isRightPhrase: boolean): string {
  const isWeaker = (PRIORITIES[child.operator] ?? 0) < (PRIORITIES[parentOperator] ?? 0);
  return isWeaker || (isRightPhrase && child.operator === OPERATOR_PHRASE) ? `( ${child.text} )` : child.text;
}

function cstringEnd(bytes: Buffer, start: number): number {
  const end = bytes.indexOf(0, start);
  if (end < 0) {
    throw new DecodeError('text search value ends inside a lexeme', { offset: start });
  }
  return end;
}

function quoted(bytes: Buffer, start: number, end: number): string {
  const lexeme = bytes.subarray(start, end);
  if (!isUtf8(lexeme)) {
    throw new DecodeError('lexeme is not valid UTF-8', { offset: start });
  }
  return `'${lexeme.toString('utf8').replace(/['\\]/g, '$&$&')}'`;
}

function requireEnd(bytes: Buffer, end: number): void {
  if (end !== bytes.length) {
    throw new DecodeError('text search value has something after its end', { offset: end });
  }
}
