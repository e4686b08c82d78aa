// Goal: frames say what was put in, and bytes that are no frame are named errors, never crashes.
// Method: round trips of random records; truncated, altered and random bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/raft/types.js';
import { InvariantError } from '../../../src/shared/assert.js';
import { ByteWriter, MalformedBytesError } from '../../../src/shared/bytes.js';
import {
  decodeFrame,
  encodeFrame,
  FRAME_FORMAT,
  type FrameRecord,
  recordSizeBytes,
} from '../../../src/transport/frame.js';
import { frameRecord, heartbeat } from './arbitrary-frames.js';

const records = fc.array(frameRecord, { minLength: 1, maxLength: 4 });

/** Decodes, taking the one permitted error for an answer. */
function decodeOrMalformed(bytes: Uint8Array): readonly FrameRecord[] | 'malformed' {
  try {
    return decodeFrame(bytes);
  } catch (error) {
    if (error instanceof MalformedBytesError) return 'malformed';
    throw error;
  }
}

const message = (fields: Partial<Message>): Message => ({
  type: 'MsgApp',
  to: 2,
  from: 1,
  term: 3,
  logTerm: 0,
  index: 0,
  entries: [],
  commit: 0,
  commitTerm: 0,
  vote: 0,
  reject: false,
  rejectHint: 0,
  context: 0,
  campaignTransfer: false,
  sentAtMs: 0,
  promiseMs: 0,
  ...fields,
});

const raftFrame = (...messages: readonly Message[]): Uint8Array =>
  encodeFrame([
    { kind: 'raft', messages: messages.map((each) => ({ groupId: 7, message: each })) },
  ]);

describe('frames', () => {
  it('round-trip any records, in order', () => {
    fc.assert(
      fc.property(records, (sent) => {
        expect(decodeFrame(encodeFrame(sent))).toEqual(sent);
      }),
    );
  });

  it('round-trip from any position of a larger buffer', () => {
    fc.assert(
      fc.property(records, fc.nat(9), (sent, offset) => {
        const frame = encodeFrame(sent);
        const larger = new Uint8Array(offset + frame.length);
        larger.set(frame, offset);
        expect(decodeFrame(larger.subarray(offset))).toEqual(sent);
      }),
    );
  });

  it('are malformed when cut off anywhere but between two records', () => {
    fc.assert(
      fc.property(frameRecord, fc.double({ min: 0, max: 1, noNaN: true }), (sent, where) => {
        const frame = encodeFrame([sent]);
        const cut = frame.subarray(0, Math.floor(where * (frame.length - 1)));
        expect(decodeOrMalformed(cut)).toBe('malformed');
      }),
    );
  });

  it('never crash the reader when bytes are altered or random', () => {
    const altered = fc
      .tuple(records, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([sent, changes]) => {
        const frame = Uint8Array.from(encodeFrame(sent));
        for (const [at, value] of changes) frame[at % frame.length] = value;
        return frame;
      });
    const random = fc.uint8Array({ maxLength: 64 }).map((tail) => {
      return Uint8Array.from([FRAME_FORMAT, ...tail]);
    });
    fc.assert(
      fc.property(fc.oneof(altered, random), (bytes) => {
        const outcome = decodeOrMalformed(bytes);
        expect(outcome === 'malformed' || outcome.length > 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('of another format, without a record, or with an unknown record are malformed', () => {
    expect(() => decodeFrame(Uint8Array.of())).toThrow(MalformedBytesError);
    expect(() => decodeFrame(Uint8Array.of(FRAME_FORMAT))).toThrow(MalformedBytesError);
    expect(() => decodeFrame(Uint8Array.of(FRAME_FORMAT + 1, 9, 1))).toThrow('frame format 2');
    expect(() => decodeFrame(Uint8Array.of(FRAME_FORMAT, 200))).toThrow('record type 200');
  });

  it('hand entry data out as views of the frame, not as copies', () => {
    const data = new Uint8Array(1_000).fill(5);
    const entries = [{ type: 'EntryNormal', term: 3, index: 9, data }] as const;
    const frame = raftFrame(message({ entries }));
    const [record] = decodeFrame(frame);
    if (record?.kind !== 'raft') throw new Error('not a raft record');
    expect(record.messages[0]?.message.entries[0]?.data.buffer).toBe(frame.buffer);
  });

  it('are estimated from above, so that encoding does not grow its buffer', () => {
    const onHotPath = frameRecord.filter(({ kind }) => kind === 'raft' || kind === 'request');
    fc.assert(
      fc.property(onHotPath, (record) => {
        expect(encodeFrame([record]).length).toBeLessThanOrEqual(1 + recordSizeBytes(record) + 100);
      }),
    );
  });
});

describe('raft messages in frames', () => {
  it('take six numbers for a heartbeat and its response, eight with leases (G1, R6)', () => {
    fc.assert(
      fc.property(heartbeat, (beat) => {
        const empty = raftFrame().length;
        const varints = new ByteWriter();
        const { from, to, term, commit, context, sentAtMs, promiseMs } = beat;
        const leased = sentAtMs > 0 || promiseMs > 0 ? [sentAtMs, promiseMs] : [];
        for (const value of [7, from, to, term, commit, context, ...leased]) {
          varints.varint(value);
        }
        expect(raftFrame(beat).length - empty).toBe(2 + varints.length);
      }),
    );
  });

  it('without leases are, byte by byte, those that the first version wrote and reads', () => {
    const heartbeatBytes = [FRAME_FORMAT, 3, 1, 0, 1, 7, 1, 2, 5, 3, 9];
    const beat = message({ type: 'MsgHeartbeat', term: 5, commit: 3, context: 9 });
    expect([...raftFrame(beat)]).toEqual(heartbeatBytes);
    expect(raftFrame(message({ type: 'MsgVoteResp' }))[3]).toBe(1);
    expect(raftFrame(message({ type: 'MsgHeartbeat', sentAtMs: 1 }))[3]).toBe(2);
    expect(raftFrame(message({ type: 'MsgVoteResp', promiseMs: 1 }))[3]).toBe(3);
  });

  it('about votes carry the term of a commit index where others carry a hint (E13)', () => {
    const type = 'MsgVote';
    const [request] = decodeFrame(raftFrame(message({ type, commit: 9, commitTerm: 4 })));
    if (request?.kind !== 'raft') throw new Error('not a raft record');
    expect(request.messages[0]?.message).toMatchObject({ commitTerm: 4, rejectHint: 0 });
    expect(() => raftFrame(message({ type, rejectHint: 1 }))).toThrow(InvariantError);
    expect(() => raftFrame(message({ commitTerm: 1 }))).toThrow(InvariantError);
  });

  it('of a form that nobody writes are refused', () => {
    const frame = Uint8Array.from(raftFrame(message({})));
    frame[3] = 4;
    expect(() => decodeFrame(frame)).toThrow('Raft message form 4');
  });

  it('of the kinds that stay within a replica are never written, nor read', () => {
    expect(() => raftFrame(message({ type: 'MsgStorageAppend' }))).toThrow(InvariantError);
    expect(() => raftFrame(message({ type: 'MsgHup' }))).toThrow(InvariantError);
    expect(() => raftFrame(message({ responses: [] }))).toThrow(InvariantError);
    const frame = Uint8Array.from(raftFrame(message({})));
    frame[4] = 99;
    expect(() => decodeFrame(frame)).toThrow('unknown Raft message type');
  });
});
