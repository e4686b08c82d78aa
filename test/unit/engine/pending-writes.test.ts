// Goal: the store is one apply call behind, and never out of order (A3). Method: a store over
// memory whose batches wait for the test.
import { describe, expect, it, vi } from 'vitest';
import { PendingWrites } from '../../../src/engine/pending-writes.js';
import { PointStore } from '../../../src/engine/point-store.js';
import { MemoryKv } from '../../../src/shared/memory-kv.js';

const VALUE = { version: 1n, metadata: new Uint8Array(0), values: new Uint8Array(4) };

/** Batches that are stored when the test says so. */
function gatedWrites() {
  const store = new PointStore(new MemoryKv());
  const gates: (() => void)[] = [];
  const stored: number[] = [];
  const failures: unknown[] = [];
  const pending = new PendingWrites({
    store,
    beforeStoring: () => new Promise((resolve) => gates.push(resolve)),
    onFailure: (error) => failures.push(error),
  });
  /** An apply call that writes the record `a`, or nothing. */
  const apply = (index: number, version?: bigint): Promise<void> => {
    const batch = pending.begin();
    if (version !== undefined) batch.putRecord(1, 'a', { ...VALUE, version });
    return pending.handOver(index, () => stored.push(index));
  };
  const versionOf = (): bigint | undefined => {
    const record = pending.recordOf(1, 'a');
    return record?.kind === 'put' ? record.value.version : undefined;
  };
  /** Lets the oldest batch that waits be stored, and waits for that. */
  const letStore = async (): Promise<void> => {
    gates.shift()?.();
    await pending.settled();
  };
  return { store, pending, apply, versionOf, letStore, stored, failures, gates };
}

describe('an apply call', () => {
  it('is through before it is stored, and its records are seen', async () => {
    const { store, pending, apply, versionOf, letStore, stored } = gatedWrites();
    await apply(5, 50n);
    expect([store.appliedIndex(), versionOf(), pending.isEmpty]).toEqual([0, 50n, false]);
    await letStore();
    expect([store.appliedIndex(), versionOf(), pending.isEmpty]).toEqual([5, undefined, true]);
    expect(stored).toEqual([5]);
  });

  it('waits until the call before it is stored (A3)', async () => {
    const { store, apply, versionOf, letStore, gates } = gatedWrites();
    await apply(5, 50n);
    let isThrough = false;
    const second = apply(6, 60n).then(() => {
      isThrough = true;
    });
    // Of a record in both the newer one counts.
    expect([versionOf(), isThrough]).toEqual([60n, false]);
    await letStore();
    await second;
    expect([store.appliedIndex(), versionOf(), gates.length]).toEqual([5, 60n, 1]);
    await letStore();
    expect(store.appliedIndex()).toBe(6);
  });

  it('is refused while another one is under way', async () => {
    const { pending } = gatedWrites();
    pending.begin();
    expect(() => pending.begin()).toThrow('while another call was under way');
    expect(() => pending.pin()).toThrow('while apply was under way');
  });

  it('rejects where the call before it could not be stored, which is told at once', async () => {
    const kv = new MemoryKv();
    const failures: unknown[] = [];
    const pending = new PendingWrites({
      store: new PointStore(kv),
      beforeStoring: async () => undefined,
      onFailure: (error) => failures.push(error),
    });
    kv.failNextBatch(new Error('EIO'));
    pending.begin().putRecord(1, 'a', VALUE);
    await pending.handOver(5, () => expect.unreachable('nothing is stored'));
    expect(await pending.settled()).toBe(false);
    expect(failures).toMatchObject([{ message: 'EIO' }]);
    pending.begin();
    await expect(pending.handOver(6, () => undefined)).rejects.toThrow('EIO');
  });
});

describe('a pinned store', () => {
  it('that cannot be pinned leaves the rest as it was', async () => {
    const kv = new MemoryKv();
    const store = new PointStore(kv);
    const failures: unknown[] = [];
    const pending = new PendingWrites({
      store,
      beforeStoring: async () => undefined,
      onFailure: (error) => failures.push(error),
    });
    const snapshot = vi.spyOn(kv, 'snapshot').mockImplementationOnce(() => {
      throw new Error('EIO');
    });
    await expect(pending.pin()).rejects.toThrow('EIO');
    expect(snapshot).toHaveBeenCalledOnce();
    pending.begin();
    await pending.handOver(5, () => undefined);
    expect(await pending.settled()).toBe(true);
    expect([store.appliedIndex(), failures]).toEqual([5, []]);
  });

  it('holds all that was applied when it was asked for, and nothing newer', async () => {
    const { pending, apply, letStore, gates } = gatedWrites();
    await apply(5, 50n);
    const pinning = pending.pin();
    const second = apply(6, 60n);
    await letStore();
    const pinned = await pinning;
    expect(pinned.appliedIndex).toBe(5);
    await second;
    expect(gates).toHaveLength(1);
    await letStore();
    expect(pinned.appliedIndex).toBe(5);
    await pinned.close();
  });
});
