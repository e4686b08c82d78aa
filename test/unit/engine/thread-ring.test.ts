// Goal: frames come out of a ring as they went in, whatever their sizes, and who sleeps is woken.
// Method: random writes and reads against a list, and rings that have gone round 2^32 bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newRing, RingReader, RingWriter } from '../../../src/engine/thread-ring.js';

const SIZE_BYTES = 256;
/** Before each frame. */
const HEADER_BYTES = 8;

function write(ring: RingWriter, bytes: Uint8Array): boolean {
  const place = ring.reserve(bytes.length);
  if (place === undefined) return false;
  ring.bytes.set(bytes, place);
  ring.commit(bytes.length);
  return true;
}

function read(ring: RingReader, sizeBytes: number): Uint8Array | undefined {
  const place = ring.next();
  if (place === undefined) return undefined;
  const bytes = ring.bytes.slice(place, place + sizeBytes);
  ring.release();
  return bytes;
}

function ends(): { readonly writer: RingWriter; readonly reader: RingReader } {
  const shared = newRing(SIZE_BYTES);
  return { writer: new RingWriter(shared), reader: new RingReader(shared) };
}

describe('a ring', () => {
  it('gives back what was written, in order, and refuses only what has no room', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('write' as const),
        sizeBytes: fc.nat(120),
        spareBytes: fc.nat(60),
      }),
      fc.record({ kind: fc.constant('read' as const) }),
    );
    let refused = 0;
    let wrapped = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 200 }), (steps) => {
        const { writer, reader } = ends();
        const waiting: Uint8Array[] = [];
        let sequence = 0;
        let lastPlace = 0;
        for (const one of steps) {
          if (one.kind === 'write') {
            const bytes = new Uint8Array(one.sizeBytes).fill(++sequence);
            const place = writer.reserve(one.sizeBytes + one.spareBytes);
            if (place === undefined) {
              refused++;
              // Half of an empty ring is always free, wherever the last frame ended.
              const largest = SIZE_BYTES / 2 - HEADER_BYTES;
              const fits = one.sizeBytes + one.spareBytes <= largest;
              expect(fits && waiting.length === 0).toBe(false);
              continue;
            }
            expect(place % 8).toBe(0);
            if (place < lastPlace) wrapped++;
            lastPlace = place;
            writer.bytes.set(bytes, place);
            writer.commit(one.sizeBytes);
            waiting.push(bytes);
          } else {
            reader.look();
            const [expected] = waiting;
            expect(read(reader, expected?.length ?? 0)).toEqual(expected);
            waiting.shift();
          }
        }
      }),
    );
    expect(refused).toBeGreaterThan(10);
    expect(wrapped).toBeGreaterThan(10);
  });

  it('shows a frame when it is committed, and to who looks', () => {
    const { writer, reader } = ends();
    reader.look();
    expect([reader.next(), reader.hasFrames]).toEqual([undefined, false]);
    writer.reserve(8);
    expect(reader.hasFrames).toBe(false);
    write(writer, Uint8Array.of(1));
    expect([reader.next(), reader.hasFrames]).toEqual([undefined, true]);
    reader.look();
    expect(read(reader, 1)).toEqual(Uint8Array.of(1));
    expect(reader.hasFrames).toBe(false);
  });

  it('takes a frame as large as it is, and none that is larger', () => {
    const { writer, reader } = ends();
    expect(writer.reserve(SIZE_BYTES - HEADER_BYTES + 1)).toBeUndefined();
    expect(write(writer, new Uint8Array(SIZE_BYTES - HEADER_BYTES).fill(7))).toBe(true);
    expect(writer.reserve(0)).toBeUndefined();
    reader.look();
    expect(read(reader, 1)).toEqual(Uint8Array.of(7));
    expect(writer.reserve(0)).toBeDefined();
  });

  it('goes on where its counts of bytes begin again at 2^32', () => {
    // Nothing is written into the frames, so that the ring takes no memory.
    const sizeBytes = 2 ** 28;
    const frameBytes = sizeBytes / 2 - HEADER_BYTES;
    const shared = newRing(sizeBytes);
    const writer = new RingWriter(shared);
    const reader = new RingReader(shared);
    for (let frames = 0; frames < 80; frames += 2) {
      expect(writer.reserve(frameBytes)).toBe(HEADER_BYTES);
      writer.commit(frameBytes);
      expect(writer.reserve(frameBytes)).toBe(sizeBytes / 2 + HEADER_BYTES);
      writer.commit(frameBytes);
      expect(writer.reserve(0)).toBeUndefined();
      reader.look();
      expect(reader.next()).toBe(HEADER_BYTES);
      reader.release();
      expect(reader.next()).toBe(sizeBytes / 2 + HEADER_BYTES);
      reader.release();
      expect([reader.next(), reader.hasFrames]).toEqual([undefined, false]);
    }
  });

  it('asks for one wake-up a sleep, and refuses to sleep over a frame', () => {
    const { writer, reader } = ends();
    write(writer, Uint8Array.of(1));
    expect([writer.takeWake(), writer.takeWake()]).toEqual([true, false]);
    expect(reader.sleep()).toBe(false);
    expect(writer.takeWake()).toBe(false);
    reader.look();
    read(reader, 1);
    expect(reader.sleep()).toBe(true);
    expect(writer.takeWake()).toBe(true);
  });
});
