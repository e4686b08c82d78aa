// Goal: changes of a configuration lead where they should, by whichever way they are made.
// Method: random lists of steps, made one by one and at once; damaged bytes and configurations.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeConfChange,
  encodeConfChange,
  LEAVE_JOINT,
} from '../../../src/raft/conf-change-codec.js';
import {
  applyChange,
  ConfChangeError,
  enterJoint,
  isConsistent,
  leaveJoint,
  restore,
  simple,
} from '../../../src/raft/confchange.js';
import { jointCommittedIndex } from '../../../src/raft/quorum.js';
import {
  type ConfChange,
  type ConfChangeKind,
  type ConfChangeStep,
  type ConfState,
  FatalRaftError,
} from '../../../src/raft/types.js';
import { change, confStateOf } from '../../raft/replica.js';

const KINDS: readonly ConfChangeKind[] = ['add-voter', 'add-learner', 'remove', 'update'];
const step: fc.Arbitrary<ConfChangeStep> = fc.record({
  kind: fc.constantFrom(...KINDS),
  replicaId: fc.integer({ min: 0, max: 7 }),
});
/** Replica 1 stays a voter, so that there always is one. */
const stepOfOthers = step.filter(({ replicaId }) => replicaId !== 1);
const steps = fc.array(stepOfOthers, { maxLength: 12 });
const RUNS = { numRuns: 1_000 };

function oneByOne(state: ConfState, list: readonly ConfChangeStep[]): ConfState {
  return list.reduce((before, each) => simple(before, [each]), state);
}

describe('changes', () => {
  it('one by one end where all at once, through a joint configuration, do (M1)', () => {
    fc.assert(
      fc.property(steps, steps, (first, then) => {
        const start = oneByOne(confStateOf([1]), first);
        const joint = enterJoint(start, then, false);
        expect(joint.votersOutgoing).toEqual(start.voters);
        expect(leaveJoint(joint)).toEqual(oneByOne(start, then));
      }),
      RUNS,
    );
  });

  it('keep every configuration consistent, and a stored one comes back as it was', () => {
    fc.assert(
      fc.property(steps, steps, fc.boolean(), (first, then, autoLeave) => {
        const start = oneByOne(confStateOf([1]), first);
        for (const state of [start, enterJoint(start, then, autoLeave)]) {
          expect(isConsistent(state)).toBe(true);
          expect(restore(state)).toEqual(state);
          const shuffled = { ...state, voters: [...state.voters, ...state.voters].reverse() };
          expect(restore(shuffled)).toEqual(state);
        }
      }),
      RUNS,
    );
  });

  it('that take effect at once leave every old majority a voter in every new one (M1)', () => {
    const anyStep = fc.array(step, { maxLength: 3 });
    fc.assert(
      fc.property(steps, anyStep, (first, list) => {
        const before = oneByOne(confStateOf([1]), first);
        const after = tried(() => simple(before, list));
        if (after === undefined) return;
        // Whoever is in a majority of the one, and nobody else, is no majority of the rest.
        const members = [...new Set([...before.voters, ...after.voters])];
        for (let mask = 0; mask < 2 ** members.length; mask += 1) {
          const has = (id: number) => ((mask >> members.indexOf(id)) & 1) === 1;
          const wins = ({ voters }: ConfState, isIn: (id: number) => boolean) =>
            voters.filter(isIn).length > voters.length / 2;
          const bothWin = wins(before, has) && wins(after, (id) => !has(id));
          expect(bothWin).toBe(false);
        }
      }),
      RUNS,
    );
  });

  it('never end without a voter, and are refused as a whole (M9)', () => {
    const anySteps = fc.array(step, { maxLength: 8 });
    fc.assert(
      fc.property(anySteps, fc.boolean(), (list, isJoint) => {
        const start = confStateOf([1, 2, 3], [4]);
        const after = tried(() => (isJoint ? enterJoint(start, list, true) : simple(start, list)));
        if (after !== undefined) expect(after.voters).not.toEqual([]);
        expect(start).toEqual(confStateOf([1, 2, 3], [4]));
      }),
      RUNS,
    );
  });

  it('of one step are simple, of more go through a joint configuration, unless asked for', () => {
    const start = confStateOf([1, 2, 3]);
    expect(applyChange(start, change('v4'))).toEqual(confStateOf([1, 2, 3, 4]));
    expect(applyChange(start, change('v4 r3'))).toEqual({
      voters: [1, 2, 4],
      votersOutgoing: [1, 2, 3],
      learners: [],
      learnersNext: [],
      autoLeave: true,
    });
    expect(applyChange(start, change('v4', 'joint-implicit')).autoLeave).toBe(true);
    const explicit = applyChange(start, change('v4', 'joint-explicit'));
    expect(explicit).toMatchObject({ votersOutgoing: [1, 2, 3], autoLeave: false });
    expect(applyChange(explicit, LEAVE_JOINT)).toEqual(confStateOf([1, 2, 3, 4]));
  });

  it('demote a voter only when the outgoing half is left (M6)', () => {
    const joint = enterJoint(confStateOf([1, 2, 3]), change('l3 v4').changes, true);
    expect(joint).toMatchObject({ learners: [], learnersNext: [3], votersOutgoing: [1, 2, 3] });
    expect(leaveJoint(joint)).toEqual(confStateOf([1, 2, 4], [3]));
  });
});

describe('a stored configuration', () => {
  it.each([
    { ...confStateOf([1, 2]), learners: [2] },
    { ...confStateOf([1]), votersOutgoing: [2], learners: [2] },
    { ...confStateOf([1]), learnersNext: [2] },
    { ...confStateOf([1]), votersOutgoing: [1, 2], learnersNext: [1] },
    { ...confStateOf([1]), autoLeave: true },
    { ...confStateOf([]), votersOutgoing: [1] },
  ])('that contradicts itself is refused: %j', (state) => {
    expect(() => restore(state)).toThrow(ConfChangeError);
  });
});

describe('a change in the log', () => {
  const anyChange: fc.Arbitrary<ConfChange> = fc.record({
    transition: fc.constantFrom('auto' as const, 'joint-implicit', 'joint-explicit'),
    changes: fc.array(fc.record({ kind: fc.constantFrom(...KINDS), replicaId: fc.maxSafeNat() }), {
      minLength: 1,
      maxLength: 9,
    }),
    context: fc.uint8Array({ maxLength: 40 }),
  });

  it('reads as it was written, also from the middle of a larger buffer', () => {
    fc.assert(
      fc.property(anyChange, (written) => {
        const bytes = encodeConfChange(written);
        const within = new Uint8Array(bytes.length + 5).fill(255);
        within.set(bytes, 3);
        for (const data of [bytes, within.subarray(3, 3 + bytes.length)]) {
          const read = decodeConfChange(data);
          expect({ ...read, context: [...read.context] }).toEqual({
            ...written,
            context: [...written.context],
          });
        }
      }),
    );
  });

  it('is no bytes at all when it only leaves a joint configuration (A4)', () => {
    expect(encodeConfChange(LEAVE_JOINT)).toHaveLength(0);
    expect(decodeConfChange(new Uint8Array())).toEqual(LEAVE_JOINT);
    const context = Buffer.from('why');
    expect(decodeConfChange(encodeConfChange({ ...LEAVE_JOINT, context }))).toEqual({
      ...LEAVE_JOINT,
      context: new Uint8Array(context),
    });
  });

  it.each([
    ['another version', [2, 0, 0, 0, 0, 0], 'version 2'],
    ['no whole head', [1, 0, 0], 'cut off'],
    ['a transition that nobody writes', [1, 7, 0, 0, 0, 0], 'transition 7'],
    ['fewer steps than it says', [1, 0, 0, 0, 0, 1, 0], 'cut off'],
    ['a kind that nobody writes', [1, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1], 'kind 9'],
    ['an id out of range', [1, 0, 0, 0, 0, 1, 0, 255, 0, 0, 0, 0, 0, 0, 1], 'names replica'],
  ])('with %s stops the replica', (_, bytes, message) => {
    expect(() => decodeConfChange(Uint8Array.from(bytes))).toThrow(FatalRaftError);
    expect(() => decodeConfChange(Uint8Array.from(bytes))).toThrow(message);
  });
});

describe('a joint configuration', () => {
  it('commits nothing that one half does not hold (M1)', () => {
    const acked = new Map([
      [1, 9],
      [2, 9],
      [3, 9],
      [4, 5],
      [5, 5],
    ]);
    const joint = { incoming: [3, 4, 5], outgoing: [1, 2, 3] };
    expect(jointCommittedIndex(joint, (id) => acked.get(id))).toBe(5);
  });
});

function tried<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof ConfChangeError) return undefined;
    throw error;
  }
}
