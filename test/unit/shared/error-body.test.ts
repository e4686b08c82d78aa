// Goal: an error crosses from node to node with all its fields, also between versions.
// Method: round trips of random errors, and reasons that this version does not know.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter } from '../../../src/shared/bytes.js';
import { readErrorBody, writeErrorBody } from '../../../src/shared/codec/error-body.js';
import { ERRORS, type ErrorReason } from '../../../src/shared/error-codes.js';
import type { ErrorBody } from '../../../src/shared/types.js';

const arbitraryError: fc.Arbitrary<ErrorBody> = fc.record(
  {
    reason: fc.constantFrom(...(Object.keys(ERRORS) as ErrorReason[])),
    message: fc.string({ unit: 'grapheme' }),
    field: fc.string(),
    limit: fc.record({ name: fc.string(), value: fc.double({ noNaN: true }) }),
    details: fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
  },
  { requiredKeys: ['reason', 'message'] },
);

function crossed(error: ErrorBody): ErrorBody {
  const writer = new ByteWriter();
  writeErrorBody(writer, error);
  const reader = new ByteReader(writer.finish());
  const read = readErrorBody(reader);
  reader.end();
  return read;
}

describe('error bodies', () => {
  it('arrive as they left', () => {
    fc.assert(
      fc.property(arbitraryError, (error) => {
        expect(crossed(error)).toEqual(error);
      }),
    );
  });

  it.each(['BRAND_NEW', 'toString', '__proto__', ''])(
    'with the unknown reason "%s" become INTERNAL, the reason in the text',
    (reason) => {
      const error = { reason: reason as ErrorReason, message: 'something' };
      expect(crossed(error)).toEqual({ reason: 'INTERNAL', message: `${reason}: something` });
    },
  );
});
