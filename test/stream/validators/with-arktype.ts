import { type } from 'arktype';
import type { StandardSchema } from '../../../src/index.js';

export default {
  'public.orders': type({
    id: 'bigint',
    total: /^\d+\.\d\d$/,
    note: 'string > 0 | null',
    doc: type({ lines: type({ price: 'number' }).array() }).or('null'),
  }),
} satisfies Record<string, StandardSchema>;
