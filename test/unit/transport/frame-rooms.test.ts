// Goal: memory of frames that have left is used again, bounded, and never while somebody reads it.
// Method: rooms by example; what an outbox writes over scribbled memory, decoded.
import { describe, expect, it } from 'vitest';
import { decodeFrame } from '../../../src/transport/frame.js';
import { FrameRooms } from '../../../src/transport/frame-rooms.js';
import { Outbox } from '../../../src/transport/outbox.js';
import { TRANSPORT_DEFAULTS } from '../../../src/transport/settings.js';

const LARGE_BYTES = 100_000;

describe('frame rooms', () => {
  it('give out what was given back, where it is large enough, and once', () => {
    const rooms = new FrameRooms();
    const room = rooms.take(LARGE_BYTES);
    expect(rooms.take(LARGE_BYTES).buffer).not.toBe(room.buffer);
    rooms.giveBack(room.subarray(0, 70_000));
    expect(rooms.take(LARGE_BYTES + 1).buffer).not.toBe(room.buffer);
    const again = rooms.take(80_000);
    expect([again.buffer === room.buffer, again.length]).toEqual([true, LARGE_BYTES]);
    expect(rooms.take(80_000).buffer).not.toBe(room.buffer);
  });

  it('keep neither small memory, nor very large, nor more than four of a kind', () => {
    const rooms = new FrameRooms();
    const areKept = (sizeBytes: number, count: number): number => {
      const given = Array.from({ length: count }, () => new Uint8Array(sizeBytes));
      for (const room of given) rooms.giveBack(room);
      const buffers = new Set<unknown>(given.map(({ buffer }) => buffer));
      return given.filter(() => buffers.has(rooms.take(sizeBytes).buffer)).length;
    };
    expect(areKept(64 * 1024 - 1, 1)).toBe(0);
    expect(areKept(64 * 1024, 1)).toBe(1);
    expect(areKept(2 * 1024 * 1024, 5)).toBe(4);
    expect(areKept(2 * 1024 * 1024 + 1, 1)).toBe(0);
  });

  it('are not lent for a small frame, which would hold much for little', () => {
    const rooms = new FrameRooms();
    const room = rooms.take(LARGE_BYTES);
    rooms.giveBack(room);
    expect(rooms.take(100).length).toBe(100);
  });

  it('keep what is small where they are told to', () => {
    const rooms = new FrameRooms(10);
    const [small, smaller] = [rooms.take(10), rooms.take(9)];
    rooms.giveBack(small.subarray(0, 1));
    rooms.giveBack(smaller);
    expect(rooms.take(9).buffer).not.toBe(smaller.buffer);
    expect(rooms.take(10).buffer).toBe(small.buffer);
  });

  it('refuse memory that they have already', () => {
    const rooms = new FrameRooms();
    const room = rooms.take(LARGE_BYTES);
    rooms.giveBack(room);
    expect(() => rooms.giveBack(room.subarray(0, 5))).toThrow('given back twice');
  });
});

describe('an outbox', () => {
  it('writes its frames over those that are given back, whatever is in them', () => {
    const outbox = new Outbox(TRANSPORT_DEFAULTS, new FrameRooms());
    const buffers = new Set<unknown>();
    for (let requestId = 1; requestId <= 6; requestId++) {
      const payload = new Uint8Array(LARGE_BYTES - requestId).fill(requestId);
      outbox.addRequest(requestId, 10, payload);
      const frame = outbox.nextFrame() ?? new Uint8Array();
      const sizeBytes = payload.length;
      const whole = { kind: 'request', requestId, timeoutMs: 10, sizeBytes, piece: payload };
      expect(decodeFrame(frame)).toEqual([whole]);
      buffers.add(frame.buffer);
      frame.fill(0xdb);
      outbox.reuse(frame);
    }
    expect(buffers.size).toBe(1);
  });
});
