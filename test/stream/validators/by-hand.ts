import { setImmediate as later } from 'node:timers/promises';
import type { StandardResult, StandardSchema } from '../../../src/index.js';

type Order = Record<string, unknown>;

function schema(validate: (row: Order) => StandardResult | Promise<StandardResult>): StandardSchema {
  return { '~standard': { version: 1, vendor: 'by hand', validate: (value) => validate(value as Order) } };
}

const PASSED: StandardResult = {};

/** Totals of 6.66 are wrong, which the row as a whole is blamed for. */
export const whole = {
  'public.orders': schema(({ total }) => (total === '6.66' ? { issues: [{ message: String(total) }] } : PASSED)),
};

/** The same after a while, and of that column. */
export const late = {
  'public.orders': schema(async ({ total }) => {
    await later();
    return total === '6.66' ? { issues: [{ message: `${total} is wrong`, path: [{ key: 'total' }, 0] }] } : PASSED;
  }),
};

export const throwing = {
  'public.orders': schema(({ total }) => {
    if (total === '6.66') throw new RangeError('told to throw');
    return PASSED;
  }),
};

export const misnamed = { orders: schema(() => PASSED) };
export const noSchema = { 'public.orders': { parse: () => PASSED } };
export const aSchemaItself = schema(() => PASSED);
