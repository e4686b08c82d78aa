/** Any character of UTF-16 text but half of one, for `fc.string`. */
import fc from 'fast-check';

const SURROGATES_FROM = 0xd800;
const SURROGATES_TO = 0xdfff;
const SURROGATES = SURROGATES_TO - SURROGATES_FROM + 1;

/**
 * What `unit: 'binary'` gives, value for value. That one makes a table of all code points first,
 * which takes each test file that uses it most of a second.
 */
export const codePoint: fc.Arbitrary<string> = fc
  .integer({ min: 0, max: 0x10ffff - SURROGATES })
  .map(
    (at) => String.fromCodePoint(at < SURROGATES_FROM ? at : at + SURROGATES),
    (text) => {
      const code = typeof text === 'string' ? text.codePointAt(0) : undefined;
      if (code === undefined || String.fromCodePoint(code) !== text) throw new Error('not one');
      if (code >= SURROGATES_FROM && code <= SURROGATES_TO) throw new Error('half of one');
      return code < SURROGATES_FROM ? code : code - SURROGATES;
    },
  );
