// Goal: configuration changes in logs of version 0.1 stay what they are (F-15).
// Method: golden bytes against values that are written here.
import { describe, expect, it } from 'vitest';
import {
  decodeConfChange,
  encodeConfChange,
  LEAVE_JOINT,
} from '../../../src/raft/conf-change-codec.js';
import type { ConfChange } from '../../../src/raft/types.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'raft');
const CODEC = { encode: encodeConfChange, decode: decodeConfChange };

const CHANGES: { readonly [Transition in ConfChange['transition']]: ConfChange } = {
  auto: {
    transition: 'auto',
    changes: [{ kind: 'add-learner', replicaId: 4 }],
    context: Uint8Array.of(1, 2, 3),
  },
  'joint-implicit': {
    transition: 'joint-implicit',
    changes: [
      { kind: 'add-voter', replicaId: 2 ** 40 },
      { kind: 'remove', replicaId: 1 },
    ],
    context: new Uint8Array(),
  },
  'joint-explicit': {
    transition: 'joint-explicit',
    changes: [{ kind: 'update', replicaId: 3 }],
    context: Uint8Array.of(255),
  },
};

describe('configuration changes in format 1 (F-15)', () => {
  it.each(Object.values(CHANGES))('has the transition $transition', (change) => {
    golden.holds(`change ${change.transition}`, change, CODEC);
  });

  it('has no bytes for leaving a joint configuration', () => {
    golden.holds('leave joint', LEAVE_JOINT, CODEC);
  });

  it('has no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
