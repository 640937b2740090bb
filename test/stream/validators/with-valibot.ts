import * as v from 'valibot';
import type { StandardSchema } from '../../../src/index.js';

export default {
  'public.orders': v.object({
    id: v.bigint(),
    total: v.pipe(v.string(), v.regex(/^\d+\.\d\d$/)),
    note: v.nullable(v.pipe(v.string(), v.minLength(1))),
    doc: v.nullable(v.object({ lines: v.array(v.object({ price: v.number() })) })),
  }),
} satisfies Record<string, StandardSchema>;
