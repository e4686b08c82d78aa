// Goal: the checksum of everything on disk and wire is CRC-32C.
// Method: the vectors of RFC 3720 B.4, and a bitwise twin.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/shared/bytes.js';
import { crc32c, joinedCrc32c } from '../../../src/shared/crc32c.js';

function crc32cSlowly(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const ISCSI_READ =
  '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' +
  '0200000000000000';

describe('crc32c', () => {
  it.each([
    ['nothing', new Uint8Array(0), 0],
    ['the check string', utf8('123456789'), 0xe3069283],
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['32 ascending', Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd794e],
    ['32 descending', Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113fdb5c],
    ['an iSCSI read command', Uint8Array.from(Buffer.from(ISCSI_READ, 'hex')), 0xd9963a56],
  ])('of %s is as published', (_, bytes, checksum) => {
    expect(crc32c(bytes)).toBe(checksum);
  });

  it('equals the bitwise definition', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(17), (all, start) => {
        // Wherever in its buffer it begins.
        const bytes = all.subarray(start);
        expect(crc32c(bytes)).toBe(crc32cSlowly(bytes));
      }),
    );
  });

  it('goes on from the checksum of what came before', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 400 }), (a, b) => {
        expect(crc32c(b, crc32c(a))).toBe(crc32c(Uint8Array.of(...a, ...b)));
      }),
    );
  });

  it('of two parts together follows from that of each', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        const together = crc32c(Uint8Array.of(...a, ...b));
        expect(joinedCrc32c(crc32c(a), crc32c(b), b.length)).toBe(together);
      }),
    );
  });

  it('finds every flipped bit', () => {
    const bytes = utf8('a record of the log');
    const checksum = crc32c(bytes);
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(crc32c(flipped)).not.toBe(checksum);
    }
  });
});
