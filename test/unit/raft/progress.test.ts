// Goal: flow control towards one replica: windows, probes, late answers, snapshots.
// Method: tables after the cases of etcd's tracker tests, and a property on the window.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Inflights } from '../../../src/raft/inflights.js';
import { Progress } from '../../../src/raft/progress.js';
import { FatalRaftError } from '../../../src/raft/types.js';

const LIMITS = { maxInflightMessages: 3, maxInflightBytes: 100 };

function progressAt(match: number, next: number): Progress {
  const progress = new Progress(LIMITS, next);
  progress.maybeUpdate(match);
  return progress;
}

function replicatingAt(match: number, sent: number): Progress {
  const progress = progressAt(match, match + 1);
  progress.becomeReplicate();
  progress.sentEntries(sent, sent);
  return progress;
}

describe('Inflights', () => {
  it('L7: behaves as a queue with two limits, around the end of its ring', () => {
    const messages = fc.array(
      fc.oneof(fc.record({ add: fc.integer({ min: 1, max: 40 }) }), fc.record({ free: fc.nat(6) })),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(messages, (steps) => {
        const inflights = new Inflights(4, 60);
        let model: { last: number; size: number }[] = [];
        let last = 0;
        for (const step of steps) {
          if ('add' in step) {
            last += 1;
            if (inflights.isFull) {
              expect(() => inflights.add(last, step.add)).toThrow(FatalRaftError);
            } else {
              inflights.add(last, step.add);
              model.push({ last, size: step.add });
            }
          } else {
            const upTo = last - step.free;
            inflights.freeUpTo(upTo);
            model = model.filter((message) => message.last > upTo);
          }
          const sizeBytes = model.reduce((sum, message) => sum + message.size, 0);
          expect(inflights.count).toBe(model.length);
          expect(inflights.sizeBytes).toBe(sizeBytes);
          expect(inflights.isFull).toBe(model.length === 4 || sizeBytes >= 60);
        }
        inflights.reset();
        expect([inflights.count, inflights.sizeBytes, inflights.isFull]).toEqual([0, 0, false]);
      }),
    );
  });
});

describe('Progress', () => {
  it.each([
    { index: 2, changed: false, match: 3, next: 5 },
    { index: 3, changed: false, match: 3, next: 5 },
    { index: 4, changed: true, match: 4, next: 5 },
    { index: 5, changed: true, match: 5, next: 6 },
  ])('L10: an acknowledgement of $index moves match to $match', (example) => {
    const progress = progressAt(3, 5);
    expect(progress.maybeUpdate(example.index)).toBe(example.changed);
    expect([progress.match, progress.next]).toEqual([example.match, example.next]);
  });

  it.each([
    // Replicating: stale unless above match.
    { match: 5, sent: 5, rejected: 5, hint: 5, changed: false, next: 11 },
    { match: 5, sent: 5, rejected: 4, hint: 4, changed: false, next: 11 },
    { match: 5, sent: 4, rejected: 9, hint: 9, changed: true, next: 6 },
  ])('L10: replicating, a rejection of $rejected sets next to $next', (example) => {
    const progress = replicatingAt(example.match, example.sent);
    expect(progress.maybeDecreaseTo(example.rejected, example.hint)).toBe(example.changed);
    expect(progress.next).toBe(example.next);
  });

  it.each([
    // Probing: stale unless it is about the probe itself.
    { match: 0, next: 0, rejected: 0, hint: 0, changed: false, expected: 0 },
    { match: 0, next: 10, rejected: 5, hint: 5, changed: false, expected: 10 },
    { match: 0, next: 10, rejected: 9, hint: 9, changed: true, expected: 9 },
    { match: 0, next: 2, rejected: 1, hint: 1, changed: true, expected: 1 },
    { match: 0, next: 1, rejected: 0, hint: 0, changed: true, expected: 1 },
    { match: 0, next: 10, rejected: 9, hint: 2, changed: true, expected: 3 },
    { match: 0, next: 10, rejected: 9, hint: 0, changed: true, expected: 1 },
    { match: 4, next: 10, rejected: 9, hint: 2, changed: true, expected: 5 },
  ])('L10: probing $next, a rejection of $rejected hinting $hint gives $expected', (example) => {
    const progress = progressAt(example.match, example.next);
    expect(progress.maybeDecreaseTo(example.rejected, example.hint)).toBe(example.changed);
    expect(progress.next).toBe(example.expected);
  });

  it('L6: a probe with entries pauses until an answer or a heartbeat', () => {
    const progress = progressAt(1, 2);
    progress.sentEntries(0, 0);
    expect(progress.isPaused).toBe(false);
    progress.sentEntries(2, 10);
    expect(progress.isPaused).toBe(true);
    expect(progress.next).toBe(2);
    progress.resumeFlow();
    expect(progress.isPaused).toBe(false);
  });

  it('L6, L7: replicating runs ahead until the window is full', () => {
    const progress = progressAt(1, 2);
    progress.becomeReplicate();
    for (const next of [4, 6, 8]) {
      expect(progress.isPaused).toBe(false);
      progress.sentEntries(2, 10);
      expect(progress.next).toBe(next);
    }
    expect(progress.isPaused).toBe(true);
    expect(progress.acceptsEntries).toBe(false);
    progress.resumeFlow();
    expect(progress.isPaused).toBe(false);
    expect(progress.acceptsEntries).toBe(false);
    progress.maybeUpdate(3);
    progress.acknowledged(3);
    expect(progress.acceptsEntries).toBe(true);
  });

  it('L7: bytes fill the window as messages do', () => {
    const progress = progressAt(1, 2);
    progress.becomeReplicate();
    progress.sentEntries(1, 100);
    expect(progress.acceptsEntries).toBe(false);
  });

  it('P2: behind a snapshot probing goes on after it, or after match where it failed', () => {
    const sent = progressAt(1, 2);
    sent.becomeSnapshot(10);
    expect(sent.isPaused).toBe(true);
    expect(() => sent.sentEntries(1, 1)).toThrow(FatalRaftError);
    sent.snapshotReported(true);
    expect([sent.state, sent.next, sent.isPaused]).toEqual(['StateProbe', 11, true]);
    const failed = progressAt(1, 2);
    failed.becomeSnapshot(10);
    failed.snapshotReported(false);
    expect([failed.state, failed.next, failed.isPaused]).toEqual(['StateProbe', 2, true]);
    // A report that comes late says nothing.
    failed.becomeReplicate();
    failed.snapshotReported(false);
    expect(failed.state).toBe('StateReplicate');
  });

  it('L9: a commit index is told once, unless what carried it was lost', () => {
    const progress = replicatingAt(5, 3);
    expect(progress.canBumpCommit(6)).toBe(true);
    progress.sentCommit(6);
    expect(progress.canBumpCommit(6)).toBe(false);
    expect(progress.canBumpCommit(8)).toBe(true);
    progress.sentCommit(8);
    expect(progress.canBumpCommit(9)).toBe(false);
    progress.maybeDecreaseTo(7, 6);
    progress.becomeProbe();
    expect(progress.next).toBe(6);
    expect(progress.canBumpCommit(8)).toBe(false);
    progress.maybeUpdate(8);
    expect(progress.canBumpCommit(8)).toBe(true);
  });
});
