import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/properties.js';
import { modelStream } from './arbitrary-stream.js';
import { decode, eventFacts } from './batches.js';

/** What the model says of an event: everything but the relation object and fields that are not there. */
function comparable(facts: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { relation: _, ...rest } = facts;
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}

test('random streams, cut anywhere, are the events that went into them', () => {
  fc.assert(
    fc.property(modelStream(60), fc.func(fc.boolean()), ({ frames, events }, cutAfter) => {
      const expected = events.map(comparable);
      for (const cut of [() => false, () => true, (messageNumber: number) => cutAfter(messageNumber)]) {
        const decoded = decode(frames, cut);
        assert.equal(decoded.error, undefined);
        assert.deepStrictEqual(
          decoded.events.map((event) => comparable(eventFacts(event))),
          expected,
        );
      }
    }),
    { numRuns: 400 },
  );
});
