// Goal: a partial answer of a router whose table is old hides no shard that has what is missing.
// Method: shards of which one has gained keys that the table does not know of, in virtual time.
import { describe, expect, it } from 'vitest';
import type { SearchAnswer } from '../../../src/router/requests.js';
import { FakeCluster, type FakeClusterOptions } from './fake-cluster.js';

const TIMEOUT_MS = 3_000;
/** What has lost keys, and has a silent shard, and what has gained them: nothing until then. */
const [LOSER, GAINER] = [0, 2];

/**
 * Three shards, of which by the router's table the last owns nothing. It has gained what the first
 * one had, and a record of that.
 */
class MovedKeys {
  readonly cluster: FakeCluster;
  readonly #slotTable: readonly number[];

  constructor(options: Pick<FakeClusterOptions, 'refreshTopology'> = {}) {
    this.cluster = new FakeCluster({ shards: 3, ...options });
    const { document, view } = this.cluster;
    this.#slotTable = document.slotTable;
    const slotTable = document.slotTable.map((owner) => (owner === GAINER ? LOSER : owner));
    view.publish({ ...document, epoch: document.epoch + 1, slotTable });
  }

  move(): void {
    for (const shardId of [LOSER, GAINER]) this.cluster.shard(shardId).ownershipVersion++;
    const values = new Uint8Array(Float32Array.of(1, 2).buffer);
    const record = { id: 'moved', tenant: '', version: 7n, distance: 0 };
    const { records } = this.cluster.shard(GAINER);
    records.set('moved', { ...record, values, metadata: new Uint8Array(0) });
  }

  /** The router hears of it. */
  push(): void {
    const { document, view } = this.cluster;
    const shards = document.shards.map((shard) =>
      shard.shardId === LOSER || shard.shardId === GAINER
        ? { ...shard, ownershipVersion: shard.ownershipVersion + 1 }
        : shard,
    );
    const epoch = document.epoch + 1;
    view.publish({ ...document, epoch, shards, slotTable: this.#slotTable });
  }

  silence(shardId: number): void {
    for (const replica of this.cluster.replicasOf(shardId)) replica.stop();
  }

  search(allowPartial: boolean): Promise<SearchAnswer> {
    const { router } = this.cluster;
    const query = { target: { kind: 'vector', values: Float32Array.of(1, 2) }, limit: 10 } as const;
    const include = { includeValues: false, includeMetadata: false };
    return this.cluster.run(
      router.search('docs', [{ ...query, ...include }], { timeoutMs: TIMEOUT_MS, allowPartial }),
    );
  }

  /** What was asked of the shard that owns nothing by the table. */
  get bystanderCalls(): string[] {
    return this.cluster.replicasOf(GAINER).flatMap(({ calls }) => calls);
  }
}

const idsOf = ({ results }: SearchAnswer) => results[0]?.map(({ id }) => id);
const failedOf = ({ shards }: SearchAnswer) => shards.failed.map(({ shardId }) => shardId);

describe('a partial answer under a table from before keys went to a shard without any', () => {
  it('is made anew under the newer table, and has what that shard has (M-15, M-53)', async () => {
    const moved = new MovedKeys({ refreshTopology: async () => moved.push() });
    moved.move();
    moved.silence(LOSER);
    const answer = await moved.search(true);
    expect(idsOf(answer)).toEqual(['moved']);
    expect(answer).toMatchObject({ degraded: true, shards: { total: 3, ok: 2 } });
    expect(failedOf(answer)).toEqual([LOSER]);
    expect(moved.cluster.environment.nowMs).toBeLessThan(TIMEOUT_MS);
  });

  it('is none where no newer table can be had', async () => {
    const moved = new MovedKeys();
    moved.move();
    moved.silence(LOSER);
    await expect(moved.search(true)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(moved.cluster.environment.nowMs).toBeLessThanOrEqual(TIMEOUT_MS);
  });

  it('names that shard where it does not answer either', async () => {
    const moved = new MovedKeys();
    moved.move();
    moved.silence(LOSER);
    moved.silence(GAINER);
    const answer = await moved.search(true);
    expect(idsOf(answer)).toEqual([]);
    expect(failedOf(answer)).toEqual([LOSER, GAINER]);
    expect(answer).toMatchObject({ degraded: true, shards: { total: 3, ok: 1 } });
  });
});

describe('a shard that owns nothing, by a table that is the newest', () => {
  it('may be silent: an answer of all others is whole, and is not held up', async () => {
    const still = new MovedKeys();
    still.silence(GAINER);
    const answer = await still.search(true);
    expect(answer).toMatchObject({ degraded: false, shards: { total: 2, ok: 2, failed: [] } });
    expect(still.cluster.environment.nowMs).toBe(0);
    expect(still.bystanderCalls).toEqual(['count']);
    for (const { contexts } of still.cluster.replicasOf(GAINER)) {
      for (const { signal } of contexts) expect(signal?.aborted).toBe(true);
    }
  });

  it('vouches for a partial answer', async () => {
    const still = new MovedKeys();
    still.silence(LOSER);
    const answer = await still.search(true);
    expect(answer).toMatchObject({ degraded: true, shards: { total: 2, ok: 1 } });
    expect(failedOf(answer)).toEqual([LOSER]);
  });

  it('is not asked by searches that do without no shard', async () => {
    const still = new MovedKeys();
    await still.search(false);
    expect(still.bystanderCalls).toEqual([]);
  });
});
