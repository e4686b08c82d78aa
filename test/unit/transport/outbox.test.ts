// Goal: frames take from the outbox in the order of the classes, bounded, and starve no class.
// Method: fill outboxes with small limits and decode the frames that they make.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MessageType } from '../../../src/raft/types.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { decodeFrame, type FrameRecord } from '../../../src/transport/frame.js';
import { FrameRooms } from '../../../src/transport/frame-rooms.js';
import { Outbox } from '../../../src/transport/outbox.js';
import { messageSizeBytes } from '../../../src/transport/raft-codec.js';
import { TRANSPORT_DEFAULTS, type TransportSettings } from '../../../src/transport/settings.js';
import type { GroupMessage } from '../../../src/transport/transport.js';
import { raftMessage } from './test-node.js';

const settings = (fields: Partial<TransportSettings>): TransportSettings => ({
  ...TRANSPORT_DEFAULTS,
  ...fields,
});

function message(type: MessageType, index: number, sizeBytes = 0): GroupMessage {
  const data = new Uint8Array(sizeBytes);
  const entries = type === 'MsgApp' ? [{ type: 'EntryNormal', term: 1, index, data } as const] : [];
  return { groupId: 1, message: raftMessage({ type, index, entries }) };
}

function outboxWith(given: TransportSettings): Outbox {
  return new Outbox(given, new FrameRooms());
}

/** All frames that the outbox makes, decoded. */
function drain(outbox: Outbox): FrameRecord[][] {
  const frames: FrameRecord[][] = [];
  for (let frame = outbox.nextFrame(); frame !== undefined; frame = outbox.nextFrame()) {
    frames.push(decodeFrame(frame));
  }
  return frames;
}

/** What the records of a frame are, in short. */
function names(records: readonly FrameRecord[]): string[] {
  return records.flatMap((record) => {
    if (record.kind === 'raft') return record.messages.map(({ message: { type } }) => type);
    return 'requestId' in record ? `${record.kind} ${record.requestId}` : record.kind;
  });
}

describe('outbox', () => {
  it('puts heartbeats and votes first, then appends, then requests', () => {
    const outbox = outboxWith(TRANSPORT_DEFAULTS);
    outbox.addRequest(1, 10, new Uint8Array(3));
    outbox.addMessages([message('MsgApp', 1), message('MsgVoteResp', 2)]);
    outbox.addCancel(7);
    outbox.addMessages([message('MsgHeartbeat', 0), message('MsgAppResp', 3)]);
    const order = ['MsgVoteResp', 'MsgHeartbeat', 'MsgApp', 'MsgAppResp', 'request 1', 'cancel 7'];
    expect(drain(outbox).map(names)).toEqual([order]);
    expect(outbox.nextFrame()).toBeUndefined();
    expect(outbox.queuedBytes).toBe(0);
  });

  it('ends frames near the target, with a frame of its own for a larger message', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 10_000 }));
    const sizes = [4_000, 4_000, 4_000, 50_000, 10, 10];
    outbox.addMessages(sizes.map((sizeBytes, index) => message('MsgApp', index, sizeBytes)));
    const perFrame = drain(outbox).map((records) => names(records).length);
    expect(perFrame).toEqual([2, 1, 1, 2]);
  });

  it('keeps a share of each frame for requests while appends could fill it', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 10_000, pieceBytesMax: 1_000 }));
    for (let index = 0; index < 20; index++) outbox.addMessages([message('MsgApp', index, 1_000)]);
    for (let id = 1; id <= 6; id++) outbox.addRequest(id, 10, new Uint8Array(900));
    const [first] = drain(outbox);
    const requests = (first ?? []).filter(({ kind }) => kind === 'request');
    expect(requests.length).toBeGreaterThanOrEqual(2);
  });

  it('sends large payloads in pieces that go round, small ones in between', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 100, pieceBytesMax: 100 }));
    outbox.addRequest(1, 10, new Uint8Array(250));
    outbox.addAnswer(2, new Uint8Array(200), () => undefined);
    outbox.addRequest(3, 10, new Uint8Array(0));
    expect(drain(outbox).flatMap(names)).toEqual([
      'request 1',
      'response 2',
      'request 3',
      'requestPart 1',
      'responsePart 2',
      'requestPart 1',
    ]);
  });

  it('marks a payload as started with its first piece and as finished with its last', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 10, pieceBytesMax: 10 }));
    const call = outbox.addRequest(1, 10, new Uint8Array(15));
    expect([call.started, call.finished]).toEqual([false, false]);
    outbox.nextFrame();
    expect([call.started, call.finished, outbox.queuedBytes]).toEqual([true, false, 5]);
    outbox.nextFrame();
    expect([call.started, call.finished, outbox.queuedBytes]).toEqual([true, true, 0]);
  });

  it('tells when the last piece of an answer is in a frame, once', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 10, pieceBytesMax: 10 }));
    let finished = 0;
    outbox.addAnswer(1, new Uint8Array(15), () => finished++);
    outbox.nextFrame();
    expect(finished).toBe(0);
    outbox.nextFrame();
    expect([finished, outbox.empty]).toEqual([1, true]);
  });

  it('sends nothing more of a dropped payload, and counts its bytes no longer', () => {
    const outbox = outboxWith(settings({ frameBytesTarget: 10, pieceBytesMax: 10 }));
    const first = outbox.addRequest(1, 10, new Uint8Array(30));
    outbox.addRequest(2, 10, new Uint8Array(5));
    outbox.nextFrame();
    outbox.drop(first);
    outbox.drop(first);
    expect(outbox.queuedBytes).toBe(5);
    expect(drain(outbox).flatMap(names)).toEqual(['request 2']);
    expect(outbox.queuedBytes).toBe(0);
  });

  it('drops Raft messages at its limit, per class: one below, at, and one above', () => {
    const one = message('MsgApp', 1, 100);
    const sizeBytes = messageSizeBytes(one.message);
    const outbox = outboxWith(settings({ raftQueueBytesMax: 3 * sizeBytes }));
    expect(outbox.addMessages([one, one])).toBe(0);
    expect(outbox.addMessages([one])).toBe(0);
    expect(outbox.addMessages([one, one])).toBe(2);
    expect(outbox.addMessages([message('MsgHeartbeat', 0)])).toBe(0);
    expect(drain(outbox).flatMap(names)).toHaveLength(4);
    expect(outbox.addMessages([message('MsgApp', 1, 10 * sizeBytes)])).toBe(0);
  });

  it('drops a message that fits no frame', () => {
    const outbox = outboxWith(TRANSPORT_DEFAULTS);
    expect(outbox.addMessages([message('MsgApp', 1, LIMITS.frameBytesMax.value / 2)])).toBe(1);
    expect(outbox.nextFrame()).toBeUndefined();
  });

  it('has room for one request whatever its size, and up to the limit for more', () => {
    const outbox = outboxWith(settings({ requestQueueBytesMax: 100 }));
    expect(outbox.hasRoomFor(1_000)).toBe(true);
    outbox.addRequest(1, 10, new Uint8Array(60));
    expect([39, 40, 41].map((sizeBytes) => outbox.hasRoomFor(sizeBytes))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('loses nothing and keeps the order within a class, whatever is queued', () => {
    const step = fc.record({
      type: fc.constantFrom<MessageType[]>('MsgApp', 'MsgHeartbeat', 'MsgAppResp', 'MsgVote'),
      sizeBytes: fc.nat(300),
      isRequest: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const outbox = outboxWith(settings({ frameBytesTarget: 500, pieceBytesMax: 64 }));
        steps.forEach(({ type, sizeBytes, isRequest }, at) => {
          if (isRequest) outbox.addRequest(at, 1, new Uint8Array(sizeBytes));
          else outbox.addMessages([message(type, at, sizeBytes)]);
        });
        const urgent: number[] = [];
        const ordinary: number[] = [];
        const received = new Map<number, number>();
        for (const record of drain(outbox).flat()) {
          if (record.kind === 'raft') {
            for (const {
              message: { type, index },
            } of record.messages) {
              const isUrgent = type === 'MsgHeartbeat' || type === 'MsgVote';
              (isUrgent ? urgent : ordinary).push(index);
            }
          } else if (record.kind === 'request' || record.kind === 'requestPart') {
            const { requestId, piece } = record;
            received.set(requestId, (received.get(requestId) ?? 0) + piece.length);
          }
        }
        const ascending = (values: number[]): number[] => [...values].sort((a, b) => a - b);
        expect(urgent).toEqual(ascending(urgent));
        expect(ordinary).toEqual(ascending(ordinary));
        const requests = steps.flatMap(({ isRequest, sizeBytes }, at) =>
          isRequest ? [[at, sizeBytes] as const] : [],
        );
        expect(new Map([...received].sort(([a], [b]) => a - b))).toEqual(new Map(requests));
        expect(urgent.length + ordinary.length + requests.length).toBe(steps.length);
        expect(outbox.queuedBytes).toBe(0);
      }),
    );
  });
});
