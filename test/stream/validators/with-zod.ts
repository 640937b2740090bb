import { z } from 'zod';
import type { StandardSchema } from '../../../src/index.js';

export default {
  'public.orders': z.object({
    id: z.bigint(),
    total: z.string().regex(/^\d+\.\d\d$/),
    note: z.string().min(1).nullable(),
    doc: z.object({ lines: z.array(z.object({ price: z.number() })) }).nullable(),
  }),
} satisfies Record<string, StandardSchema>;
