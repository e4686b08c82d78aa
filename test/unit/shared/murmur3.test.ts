// Goal: the hash that places every key is MurmurHash3 x86 32, forever.
// Method: published vectors, and the verification value of the reference test suite.
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/shared/bytes.js';
import { murmur3, murmur3OfString } from '../../../src/shared/murmur3.js';

const SEED = 0x9747b28c;

describe('murmur3', () => {
  it.each([
    [[], 0, 0],
    [[], 1, 0x514e28b7],
    [[], 0xffffffff, 0x81f16f39],
    [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
    [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
    [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
    [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
    [[0x21, 0x43], 0, 0xa0f7b07a],
    [[0x21], 0, 0x72661cf4],
    [[0, 0, 0, 0], 0, 0x2362f9de],
    [[0, 0, 0], 0, 0x85f0b427],
    [[0, 0], 0, 0x30f4c306],
    [[0], 0, 0x514e28b7],
  ])('hashes the bytes %j with seed %i as published', (bytes, seed, hash) => {
    expect(murmur3(Uint8Array.from(bytes), seed)).toBe(hash);
  });

  it.each([
    ['aaaa', SEED, 0x5a97808a],
    ['aaa', SEED, 0x283e0130],
    ['aa', SEED, 0x5d211726],
    ['a', SEED, 0x7fa09ea6],
    ['abcd', SEED, 0xf0478627],
    ['abc', SEED, 0xc84a62dd],
    ['ab', SEED, 0x74875592],
    ['Hello, world!', SEED, 0x24884cba],
    ['ππππππππ', SEED, 0xd58063c1],
    ['The quick brown fox jumps over the lazy dog', SEED, 0x2fa826cd],
    ['a'.repeat(256), SEED, 0x37405bdc],
    ['abc', 0, 0xb3dd93fa],
    ['abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq', 0, 0xee925b90],
  ])('hashes the UTF-8 bytes of %j with seed %i as published', (text, seed, hash) => {
    expect(murmur3OfString(text, seed)).toBe(hash);
    expect(murmur3(utf8(text), seed)).toBe(hash);
  });

  it('has the verification value of the reference test suite', () => {
    const hashes = new DataView(new ArrayBuffer(4 * 256));
    for (let length = 0; length < 256; length++) {
      const key = Uint8Array.from({ length }, (_, at) => at);
      hashes.setUint32(4 * length, murmur3(key, 256 - length), true);
    }
    expect(murmur3(new Uint8Array(hashes.buffer))).toBe(0xb0f57ee3);
  });

  it('reads bytes at any alignment', () => {
    const bytes = utf8('xHello, world!');
    expect(murmur3(bytes.subarray(1), SEED)).toBe(0x24884cba);
  });
});
