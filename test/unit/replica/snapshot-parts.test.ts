// Goal: the small parts of snapshots, compaction and timing keep their contracts at the edges.
// Method: properties and tables; no group is running.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import {
  COMPACTION_DEFAULTS,
  compactionPoint,
  type LogExtent,
} from '../../../src/replica/log-compaction.js';
import { decodeMembers, encodeMembers } from '../../../src/replica/member-codec.js';
import * as wire from '../../../src/replica/snapshot-wire.js';
import { checkTiming, deriveTiming } from '../../../src/replica/timing.js';
import { TransferMeter } from '../../../src/replica/transfer-meter.js';
import { TransferRate } from '../../../src/replica/transfer-rate.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const count = fc.nat(2 ** 40);
const bytes = fc.uint8Array({ maxLength: 40 });
const ids = fc.array(fc.nat(1_000), { maxLength: 4 });
const id = fc.record({
  groupId: count,
  index: count,
  term: count,
  sourceId: fc.string(),
  sizeBytes: count,
  crc32c: fc.nat(2 ** 31),
});
const call: fc.Arbitrary<wire.SnapshotCall> = fc.oneof(
  fc
    .record({
      id,
      term: count,
      from: fc.nat(100),
      to: fc.nat(100),
      data: bytes,
      confState: fc.record({
        voters: ids,
        votersOutgoing: ids,
        learners: ids,
        learnersNext: ids,
        autoLeave: fc.boolean(),
      }),
    })
    .map(({ id: file, term, from, to, data, confState }) => {
      const meta = { index: file.index, term: file.term, confState };
      const message = createMessage('MsgSnap', from, to, term, { snapshot: { meta, data } });
      return { method: 'begin' as const, id: file, message };
    }),
  fc.record({
    method: fc.constant('chunk' as const),
    id,
    offset: count,
    crc32c: fc.nat(2 ** 31),
    bytes,
  }),
  fc.record({ method: fc.constant('finish' as const), id }),
);

describe('snapshot calls as bytes', () => {
  it('keep every call and answer', () => {
    fc.assert(
      fc.property(call, (value) => {
        expect(wire.decodeSnapshotCall(wire.encodeSnapshotCall(value))).toEqual(value);
      }),
    );
    const answer: fc.Arbitrary<wire.SnapshotAnswer> = fc.oneof(
      fc.record({ kind: fc.constant('wanted' as const), offset: count }),
      fc.record({ kind: fc.constant('refused' as const), why: fc.string() }),
      fc.constantFrom({ kind: 'unknown' as const }, { kind: 'done' as const }),
    );
    fc.assert(
      fc.property(answer, (value) => {
        expect(wire.decodeSnapshotAnswer(wire.encodeSnapshotAnswer(value))).toEqual(value);
      }),
    );
  });

  it('refuse every truncation instead of misreading it', () => {
    fc.assert(
      fc.property(call, (value) => {
        const whole = wire.encodeSnapshotCall(value);
        for (let length = 0; length < whole.length; length++) {
          expect(() => wire.decodeSnapshotCall(whole.subarray(0, length))).toThrow(
            MalformedBytesError,
          );
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('members as bytes', () => {
  it('come back as they were; no bytes are no members', () => {
    const member = fc.record({ replicaId: count, nodeId: count, storeId: fc.string() });
    fc.assert(
      fc.property(fc.array(member, { maxLength: 7 }), (members) => {
        expect(decodeMembers(encodeMembers(members))).toEqual(members);
      }),
    );
    expect(decodeMembers(new Uint8Array())).toEqual([]);
    expect(() => decodeMembers(new Uint8Array([9, 0]))).toThrow(MalformedBytesError);
  });
});

describe('the point up to which a log is cut', () => {
  const extent = (fields: Partial<LogExtent>): LogExtent => ({
    firstIndex: 1,
    durableIndex: 0,
    sizeBytes: 0,
    neededAfter: [],
    ...fields,
  });
  const at = (fields: Partial<LogExtent>): number | undefined =>
    compactionPoint(COMPACTION_DEFAULTS, extent(fields));

  it('is nowhere below both thresholds, and at them behind a trailing window (S9)', () => {
    expect(at({ durableIndex: 9_999 })).toBeUndefined();
    expect(at({ durableIndex: 10_000 })).toBe(5_000);
    expect(at({ durableIndex: 10_001 })).toBe(5_001);
    expect(at({ durableIndex: 100, sizeBytes: 64 * 1024 * 1024 - 1 })).toBeUndefined();
    expect(at({ durableIndex: 100, sizeBytes: 64 * 1024 * 1024 })).toBe(50);
  });

  it('never passes what is durable in the state, or a snapshot in use needs (S9, S-39)', () => {
    const fields = fc.record({
      firstIndex: fc.integer({ min: 1, max: 20_000 }),
      durableIndex: fc.nat(60_000),
      sizeBytes: fc.nat(2 ** 27),
      neededAfter: fc.array(fc.nat(60_000), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fields, (one) => {
        const point = at(one);
        if (point === undefined) return;
        const { firstIndex, durableIndex, neededAfter } = one;
        expect(point).toBeGreaterThanOrEqual(firstIndex);
        expect(point).toBeLessThanOrEqual(durableIndex);
        for (const needed of neededAfter) {
          // What the log does not reach back to any more is not saved by keeping the rest.
          if (needed >= firstIndex - 1) expect(point).toBeLessThanOrEqual(needed);
        }
      }),
    );
  });

  it('passes the oldest snapshot that is in use when the log has reached its bound (S9)', () => {
    const { transferBytesMax } = COMPACTION_DEFAULTS;
    const fields = { firstIndex: 101, durableIndex: 50_000, sizeBytes: transferBytesMax };
    const below = { ...fields, sizeBytes: transferBytesMax - 1 };
    expect(at({ ...below, neededAfter: [200, 300] })).toBe(200);
    expect(at({ ...fields, neededAfter: [300, 200, 200] })).toBe(300);
    expect(at({ ...fields, neededAfter: [200] })).toBe(45_000);
    expect(at({ ...fields, neededAfter: [] })).toBe(45_000);
    // One that was given up before holds nothing, and is not counted as the oldest.
    expect(at({ ...fields, neededAfter: [99, 200, 300] })).toBe(300);
    expect(at({ ...below, neededAfter: [99] })).toBe(45_000);
    expect(at({ ...below, neededAfter: [100] })).toBeUndefined();
  });
});

describe('timing', () => {
  it('derives a lease that ends before its promise on the worst of clocks (R6, R9)', () => {
    for (const electionTimeoutMs of [100, 300, 999, 1_000, 60_000]) {
      const timing = deriveTiming(electionTimeoutMs);
      const { leaseMs, promiseMs, driftFraction } = timing;
      expect(leaseMs).toBe(Math.floor(0.75 * electionTimeoutMs));
      expect(leaseMs / (1 - driftFraction)).toBeLessThan(promiseMs / (1 + driftFraction));
      expect(timing.transferTimeoutMs).toBe(electionTimeoutMs);
    }
  });

  it('that breaks an inequality is refused, with the inequality', () => {
    const timing = deriveTiming(1_000);
    const broken = [
      { leaseMs: 950 },
      { driftFraction: 0.2 },
      { driftFraction: 1 },
      { promiseMs: 1_001 },
      { heartbeatTicks: 4 },
      { electionTicks: 11 },
      { transferTimeoutMs: 1_001 },
    ];
    for (const change of broken) {
      expect(() => checkTiming({ ...timing, ...change })).toThrow(/breaks an inequality/);
    }
    expect(() => checkTiming(timing)).not.toThrow();
  });
});

describe('the rate of transfers', () => {
  it('is kept by all together, and a pause is not made up for (P5)', async () => {
    const environment = new VirtualEnvironment();
    const rate = new TransferRate(environment, 1_000);
    const { signal } = new AbortController();
    const take = (sizeBytes: number) => environment.settle(rate.take(sizeBytes, signal));
    for (let at = 0; at < 4; at++) await take(500);
    expect(environment.nowMs).toBe(1_500);
    await environment.advance(10_000);
    await take(500);
    expect(environment.nowMs).toBe(11_500);
    await take(500);
    expect(environment.nowMs).toBe(12_000);
  });

  it('without a bound waits for nothing', async () => {
    const environment = new VirtualEnvironment();
    const rate = new TransferRate(environment, Number.POSITIVE_INFINITY);
    for (let at = 0; at < 3; at++) await rate.take(2 ** 30, new AbortController().signal);
    expect(environment.pendingTimers).toBe(0);
  });
});

describe('the meter of a transfer', () => {
  it('counts what moved since it began, not what was there', async () => {
    const environment = new VirtualEnvironment();
    const meter = new TransferMeter(environment.clock, 1_000);
    expect(meter.progress).toEqual({ doneBytes: 0, sizeBytes: 1_000, bytesPerSecond: 0 });
    expect(meter.reached(400)).toBe(true);
    await environment.advance(100);
    expect(meter.reached(400)).toBe(false);
    expect(meter.reached(500)).toBe(true);
    expect(meter.progress).toEqual({ doneBytes: 500, sizeBytes: 1_000, bytesPerSecond: 1_000 });
    expect(meter.reached(100)).toBe(false);
  });
});
