// Goal: the simulator's judge of freshness speaks up when it has to, and only then.
// Method: tiny histories by hand in a time by hand, one for each promise, and its honest twin.
import { describe, expect, it } from 'vitest';
import type { Consistency } from '../../../src/shared/consistency.js';
import { SimRandom } from '../kit/sim-random.js';
import { Findings } from './findings.js';
import { FreshReads } from './fresh-reads.js';
import { RegisterOracle, type Write } from './register-oracle.js';

const KEY = 'key';
const HERE = 1;

interface Answered {
  readonly ageMs?: number;
  readonly nodeId?: number;
  readonly afterMs?: number;
  readonly isPartial?: boolean;
}

function harness(boundMs = 100) {
  let nowMs = 0;
  const findings = new Findings(() => nowMs);
  const oracle = new RegisterOracle(findings, () => nowMs);
  const workload = { relaxed: 1, boundsMs: [boundMs] };
  const reads = new FreshReads({ oracle, random: new SimRandom(1), workload, nowMs: () => nowMs });
  const at = (timeMs: number): void => {
    nowMs = timeMs;
  };
  const written = (version: bigint, own = false): Write => {
    const write = oracle.beginWrite(KEY, 'upsert');
    oracle.logged(KEY, version, write.serial);
    oracle.endWrite(write, { kind: 'applied', version });
    if (own) reads.wrote(write, version);
    return write;
  };
  const shown = (write: Write, version: bigint) => {
    return { serial: write.serial, base: write.serial, version };
  };
  /** Reads at the level; the node that is asked answers after `afterMs`. */
  const read = (
    isLevel: (consistency: Consistency) => boolean,
    observed: ReturnType<typeof shown> | undefined,
    { ageMs, nodeId = HERE, afterMs = 0, isPartial = false }: Answered,
  ): string | undefined => {
    let fresh = reads.begin([KEY], false);
    while (!isLevel(fresh.consistency)) fresh = reads.begin([KEY], false);
    nowMs += afterMs;
    const place = { shardId: 0, ownershipVersion: 1, appliedIndex: 1, nodeId };
    const served = [{ ...place, ...(ageMs !== undefined && { ageMs }) }];
    const answer = { value: undefined, served, nodeId: HERE, answeredMs: nowMs, isPartial };
    for (const floor of fresh.floorsOf(KEY, answer)) oracle.endRead(KEY, floor, observed);
    reads.saw(fresh, KEY, observed);
    return findings.first?.invariant;
  };
  return { at, written, shown, read };
}

const bounded = (one: Consistency): boolean => typeof one === 'object' && 'boundedMs' in one;
const session = (one: Consistency): boolean => typeof one === 'object' && 'session' in one;
const eventual = (one: Consistency): boolean => one === 'eventual';

describe('the judge of bounded reads', () => {
  it('wants all that was complete a bound before the answer', () => {
    const { at, written, shown, read } = harness();
    const old = written(1n);
    at(1_000);
    written(2n);
    at(1_100);
    expect(read(bounded, shown(old, 1n), {})).toBe('reads are fresh');
  });

  it('lets pass what was complete a moment later', () => {
    const { at, written, shown, read } = harness();
    const old = written(1n);
    at(1_000);
    written(2n);
    at(1_099);
    expect(read(bounded, shown(old, 1n), {})).toBeUndefined();
  });

  it('counts from the answer of the asked node, and from the question for others', () => {
    const late = harness();
    const old = late.written(1n);
    late.at(1_000);
    late.written(2n);
    expect(late.read(bounded, late.shown(old, 1n), { afterMs: 150, nodeId: 9 })).toBeUndefined();
    late.at(1_000);
    expect(late.read(bounded, late.shown(old, 1n), { afterMs: 150 })).toBe('reads are fresh');
  });
});

describe('the judge of partial answers', () => {
  it('counts from the question: the replica has answered before others were given up', () => {
    const { at, written, shown, read } = harness();
    const old = written(1n);
    at(1_000);
    written(2n);
    const told = { ageMs: 10, afterMs: 150 };
    expect(read(bounded, shown(old, 1n), { ...told, isPartial: true })).toBeUndefined();
    at(1_000);
    expect(read(bounded, shown(old, 1n), told)).toBe('reads are fresh');
  });
});

describe('the judge of sessions', () => {
  it('wants the own writes', () => {
    const { written, shown, read } = harness();
    const old = written(1n);
    written(2n, true);
    expect(read(session, shown(old, 1n), {})).toBe('reads are fresh');
  });

  it('lets pass what others wrote meanwhile', () => {
    const { written, shown, read } = harness();
    const own = written(1n, true);
    written(2n);
    expect(read(session, shown(own, 1n), {})).toBeUndefined();
  });

  it('takes what a read of any age does not find for gone only where it sees the session', () => {
    const { written, shown, read } = harness();
    const own = written(1n, true);
    expect(read(eventual, undefined, {})).toBeUndefined();
    expect(read(session, shown(own, 1n), {})).toBeUndefined();
  });

  it('wants what was read before, by a read of any level', () => {
    const { written, shown, read } = harness();
    const old = written(1n);
    const newer = written(2n);
    expect(read(eventual, shown(newer, 2n), {})).toBeUndefined();
    expect(read(session, shown(old, 1n), {})).toBe('reads are fresh');
  });
});

describe('the judge of eventual reads', () => {
  it('lets pass any state that was committed, and no other', () => {
    const { at, written, shown, read } = harness();
    const old = written(1n);
    const newer = written(2n);
    at(100_000);
    expect(read(eventual, shown(old, 1n), {})).toBeUndefined();
    expect(read(eventual, shown(newer, 7n), {})).toBeDefined();
  });

  it('takes the age that an answer tells at its word', () => {
    const { at, written, shown, read } = harness();
    const old = written(1n);
    at(1_000);
    written(2n);
    at(1_500);
    expect(read(eventual, shown(old, 1n), { ageMs: 501 })).toBeUndefined();
    expect(read(eventual, shown(old, 1n), { ageMs: 499 })).toBe('reads are fresh');
  });
});
