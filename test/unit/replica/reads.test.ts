// Goal: a read is answered only when it was confirmed and its index is applied (R1), or aborted.
// Method: drive confirmations and applied indexes in different orders.
import { describe, expect, it } from 'vitest';
import { Reads } from '../../../src/replica/reads.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';

function settled(promise: Promise<void>): { state: () => string } {
  let state = 'pending';
  promise.then(
    () => {
      state = 'done';
    },
    (error: FlotillaError) => {
      state = error.reason;
    },
  );
  return { state: () => state };
}

/** A core that takes every read and remembers the newest request id. */
function core(): { take: (id: number) => boolean; taken: () => number } {
  let newest = 0;
  const take = (id: number): boolean => {
    newest = id;
    return true;
  };
  return { take, taken: () => newest };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Reads', () => {
  it('waits for the confirmed index to be applied (R1)', async () => {
    const reads = new Reads(3);
    const { take, taken } = core();
    const read = settled(reads.start(take));
    await turn();
    expect(read.state()).toBe('pending');
    reads.confirmed(taken(), 5);
    reads.appliedTo(4);
    await turn();
    expect(read.state()).toBe('pending');
    reads.appliedTo(5);
    await turn();
    expect(read.state()).toBe('done');
    expect(reads.size).toBe(0);
  });

  it('answers at once when the confirmed index is applied already', async () => {
    const reads = new Reads(7);
    const { take, taken } = core();
    const read = reads.start(take);
    reads.confirmed(taken(), 7);
    await read;
  });

  it('fails a read that the core aborts, instead of forgetting it (R5)', async () => {
    const reads = new Reads(0);
    const { take, taken } = core();
    const read = reads.start(take);
    reads.aborted(taken());
    await expect(read).rejects.toMatchObject({ reason: 'NO_LEADER' });
  });

  it('refuses a read that the core does not take (R2)', async () => {
    const reads = new Reads(0);
    await expect(reads.start(() => false)).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
    expect(reads.size).toBe(0);
  });

  it('refuses reads where too many wait for what is not applied', async () => {
    const reads = new Reads(3);
    const max = LIMITS.pendingReadsMax.value;
    const waiting = Array.from({ length: max }, () => reads.waitApplied(4));
    const tooMany = { reason: 'TOO_MANY_REQUESTS' };
    await expect(reads.start(() => true)).rejects.toMatchObject(tooMany);
    await expect(reads.waitApplied(4)).rejects.toMatchObject(tooMany);
    await reads.waitApplied(3);
    reads.appliedTo(4);
    await Promise.all(waiting);
    expect(reads.size).toBe(0);
  });

  it('keeps no place for a wait that was given up, confirmed or not', async () => {
    const reads = new Reads(3);
    const { take, taken } = core();
    const waits = [
      (givenUp: AbortSignal) => reads.start(take, givenUp),
      (givenUp: AbortSignal) => {
        const confirmed = reads.start(take, givenUp);
        reads.confirmed(taken(), 5);
        return confirmed;
      },
      (givenUp: AbortSignal) => reads.waitApplied(4, givenUp),
    ];
    for (const wait of waits) {
      const givenUp = new AbortController();
      const read = settled(wait(givenUp.signal));
      expect(reads.size).toBe(1);
      givenUp.abort();
      await turn();
      expect([read.state(), reads.size]).toEqual(['CANCELLED', 0]);
      reads.confirmed(taken(), 5);
      expect(reads.size).toBe(0);
    }
  });

  it('fails all that wait when the replica ends', async () => {
    const reads = new Reads(0);
    const confirming = reads.start(() => true);
    const applying = reads.waitApplied(9);
    reads.close(new FlotillaError('NODE_NOT_READY', 'stopping'));
    await expect(confirming).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    await expect(applying).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
  });
});
