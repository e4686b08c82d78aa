// Goal: what passes the door is never refused by an engine behind it, which sees one record a time.
// Method: vectors of all magnitudes under each metric, at the door and at the engine.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vectorFault } from '../../../src/engine/index/vector-math.js';
import { checkRecords } from '../../../src/server/validate.js';
import { floatBytes } from '../../../src/shared/bytes.js';
import { METRICS } from '../../../src/shared/types.js';

const DIMENSION = 3;

const magnitude = fc
  .tuple(fc.double({ min: -1, max: 1, noNaN: true }), fc.integer({ min: -149, max: 128 }))
  .map(([mantissa, exponent]) => Math.fround(mantissa * 2 ** exponent));

const vector = fc
  .array(fc.oneof(magnitude, fc.float()), { minLength: DIMENSION, maxLength: DIMENSION })
  .map((values) => Float32Array.from(values));

describe('the door', () => {
  it.each(METRICS)('lets through only vectors that an engine takes: %s (P-9)', (metric) => {
    const config = { name: 'c', dimension: DIMENSION, metric, m: 16, efConstruction: 200 };
    let passed = 0;
    fc.assert(
      fc.property(vector, (values) => {
        const record = { id: 'a', values: floatBytes(values), metadata: new Uint8Array(0) };
        try {
          checkRecords([record], { ...config, indexedFields: [] });
        } catch {
          return;
        }
        passed++;
        expect(vectorFault(values, DIMENSION, metric)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
    expect(passed).toBeGreaterThan(0);
  });
});
