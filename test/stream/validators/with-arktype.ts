import { type } from 'arktype';

export default {
  'public.orders': type({
    id: 'bigint',
    total: /^\d+\.\d\d$/,
    note: 'string > 0 | null',
    doc: type({ lines: type({ price: 'number' }).array() }).or('null'),
  }),
};
