// Goal: a router whose table is old asks for a newer one, and its calls go on within their time.
// Method: shards that own something else than the table says, in virtual time; scripted refreshes.
import { describe, expect, it } from 'vitest';
import { REFRESH_PAUSE_MS } from '../../../src/router/topology-refresh.js';
import { sleep } from '../../../src/shared/environment.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster } from './fake-cluster.js';

const TIMEOUT_MS = 3_000;
const REFRESH_MS = 100;

/** Shards that have a newer table than the router, and no push of it. */
class LateRouter {
  refreshes = 0;
  /** What a refresh does, once it has taken its time. */
  bring: () => void = () => this.push();
  readonly cluster: FakeCluster = new FakeCluster({
    refreshTopology: async () => {
      this.refreshes++;
      await sleep(this.cluster.environment.scheduler, REFRESH_MS);
      this.bring();
    },
  });

  constructor() {
    for (const shard of this.cluster.shards) shard.ownershipVersion++;
  }

  /** The view hears of the newer table. */
  push(): void {
    const { view, document } = this.cluster;
    const shards = document.shards.map((shard) => {
      return { ...shard, ownershipVersion: shard.ownershipVersion + 1 };
    });
    view.publish({ ...document, epoch: document.epoch + 1, shards });
  }

  count(): Promise<{ count: number }> {
    return this.cluster.router.count('docs', { timeoutMs: TIMEOUT_MS });
  }

  upsert(id: string): Promise<unknown> {
    const record = { id, values: Float32Array.of(1, 2), metadata: new Uint8Array(0) };
    return this.cluster.router.upsert('docs', [record], { timeoutMs: TIMEOUT_MS });
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.cluster.run(work);
  }
}

describe('a router that shards refuse for an older table than theirs', () => {
  it.each<[string, (late: LateRouter) => Promise<unknown>]>([
    ['read', (late) => late.count()],
    ['write', (late) => late.upsert('a')],
  ])('asks for theirs, and the %s succeeds', async (_, call) => {
    const late = new LateRouter();
    await late.run(call(late));
    expect(late.refreshes).toBe(1);
    expect(late.cluster.environment.nowMs).toBeLessThan(TIMEOUT_MS);
    await late.run(call(late));
    expect(late.refreshes).toBe(1);
  });

  it('asks once for many calls, and all of them succeed', async () => {
    const late = new LateRouter();
    const calls = Array.from({ length: 40 }, (_, at) => {
      return at % 2 === 0 ? late.count() : late.upsert(`id-${at}`);
    });
    await late.run(Promise.all(calls));
    expect(late.refreshes).toBe(1);
    expect(await late.run(late.count())).toMatchObject({ count: 20 });
  });

  it('asks a few times a second while that brings nothing, and fails in time', async () => {
    const late = new LateRouter();
    late.bring = () => undefined;
    const calls = Array.from({ length: 20 }, () => late.count());
    const ends = await late.run(Promise.allSettled(calls));
    for (const end of ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
    }
    expect(late.cluster.environment.nowMs).toBeLessThanOrEqual(TIMEOUT_MS);
    expect(late.refreshes).toBeGreaterThan(2);
    expect(late.refreshes).toBeLessThanOrEqual(TIMEOUT_MS / REFRESH_PAUSE_MS + 1);
  });

  it('waits for a push where refreshes fail, and for none that hangs', async () => {
    const failing = new LateRouter();
    failing.bring = () => {
      throw new FlotillaError('NODE_NOT_READY', 'nobody is reached');
    };
    failing.cluster.environment.scheduler.after(1_000, () => failing.push());
    expect(await failing.run(failing.count())).toMatchObject({ count: 0 });
    expect(failing.refreshes).toBeGreaterThan(1);

    let refreshes = 0;
    const hanging = new FakeCluster({
      refreshTopology: () => {
        refreshes++;
        return new Promise(() => undefined);
      },
    });
    for (const shard of hanging.shards) shard.ownershipVersion++;
    const work = hanging.run(hanging.router.count('docs', { timeoutMs: TIMEOUT_MS }));
    await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(refreshes).toBe(1);
  });

  it('takes nothing older from a refresh', async () => {
    const late = new LateRouter();
    const before = late.cluster.document;
    late.bring = () => void late.cluster.view.publish({ ...before, epoch: before.epoch - 1 });
    late.cluster.environment.scheduler.after(1_000, () => late.push());
    await late.run(late.count());
    expect(late.cluster.document.epoch).toBe(before.epoch + 1);
  });
});

describe('a router asks nobody', () => {
  it('where its own table is the newer one: the shard has to learn', async () => {
    const late = new LateRouter();
    late.push();
    late.push();
    const { scheduler } = late.cluster.environment;
    scheduler.after(500, () => {
      for (const shard of late.cluster.shards) shard.ownershipVersion++;
    });
    await late.run(late.count());
    await late.run(late.upsert('a'));
    expect(late.refreshes).toBe(0);
  });

  it('where the shard does not say which table it has', async () => {
    const late = new LateRouter();
    late.push();
    const replica = late.cluster.leaderOf(0);
    replica.faults = [{ reject: 'STALE_TOPOLOGY' }, 'none'];
    await late.run(late.count());
    expect(replica.calls).toEqual(['count', 'count']);
    expect(late.refreshes).toBe(0);
  });
});
