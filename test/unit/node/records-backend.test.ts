// Goal: a node that may not know the newest topology says nothing definite about it (F-11, P-2).
// Method: the backend over a view at its first document, with a topology group that works or fails;
// and over shards that never answer, behind a real server.
import { describe, expect, it } from 'vitest';
import type { Collection, Metadata } from '../../../src/client/index.js';
import { RouterBackend } from '../../../src/node/records-backend.js';
import { Router } from '../../../src/router/router.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { GiveUp } from '../../../src/shared/give-up.js';
import type { TopologyGroup } from '../../../src/topology/topology-group.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { failureOf, startHarness } from '../../api/harness.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { waitUntil } from '../../support/wait-until.js';
import { FakeCluster } from '../router/fake-cluster.js';
import { genesis } from '../topology/topology-fixtures.js';

const CALL = { timeoutMs: 10_000, signal: new AbortController().signal };
const READ = { ...CALL, consistency: 'strong' as const };
const WRITE = { ...CALL, retry: 'client' as const };

/** `refresh` is that of the topology's group; none where its replica does not run. */
function backend(refresh?: (timeoutMs: number) => Promise<void>): RouterBackend {
  const view = new TopologyHolder();
  view.publish(genesis());
  const environment = new VirtualEnvironment();
  const replicas = () => {
    throw new Error('no replica is asked');
  };
  const router = new Router({ view, replicas, environment });
  const group: Pick<TopologyGroup, 'refresh'> | undefined = refresh && {
    refresh: ({ timeoutMs }) => refresh(timeoutMs),
  };
  return new RouterBackend({ router, view, topology: () => group as TopologyGroup | undefined });
}

/** Shards that never answer, and what they were asked. */
function silentCluster() {
  const cluster = new FakeCluster();
  const { router, view, document } = cluster;
  const replicas = document.shards.flatMap(({ shardId }) => cluster.replicasOf(shardId));
  for (const replica of replicas) replica.stop();
  return { router, view, contexts: () => replicas.flatMap((replica) => replica.contexts) };
}

const failing = (reason: ErrorReason) => async (): Promise<void> => {
  throw new FlotillaError(reason, `refreshing failed with ${reason}`);
};

const doubtful = [
  { why: 'its replica of the topology does not run', of: () => backend() },
  { why: 'the topology has no leader', of: () => backend(failing('NO_LEADER')) },
  { why: 'the topology does not answer', of: () => backend(failing('DEADLINE_EXCEEDED')) },
  { why: 'its log is damaged', of: () => backend(failing('LOG_DAMAGED')) },
];

type Docs = Collection<Metadata>;

describe('a call of the server', () => {
  it.each<[string, (docs: Docs, options: { signal: AbortSignal }) => Promise<unknown>]>([
    ['fetch', (docs, options) => docs.fetch(['a'], options)],
    ['search', async (docs, options) => docs.search({ vector: [1, 2], k: 1 }, options)],
    ['count', (docs, options) => docs.count({ filter: {}, ...options })],
    ['scroll', (docs, options) => docs.scrollPage(options)],
    ['explain', (docs, options) => docs.explain({ vector: [1, 2], k: 1 }, options)],
    ['upsert', (docs, options) => docs.upsert([{ id: 'a', values: [1, 2] }], options)],
    ['delete', (docs, options) => docs.delete(['a'], options)],
    ['deleteByFilter', (docs, options) => docs.deleteByFilter({}, options)],
  ])('is given up at the shards where its caller gives up: %s (F-20)', async (_, call) => {
    const { router, view, ...silent } = silentCluster();
    const records = new RouterBackend({ router, view, topology: () => undefined });
    await using harness = await startHarness({ records });
    const caller = new AbortController();
    const docs = harness.client().collection('docs');
    const failure = failureOf(call(docs, { signal: caller.signal }));
    await waitUntil('a shard is asked', () => silent.contexts().length > 0);
    expect(silent.contexts().map(({ signal }) => signal?.aborted)).not.toContain(true);
    caller.abort();
    expect((await failure).reason).toBe('CANCELLED');
    const isTold = (): boolean => silent.contexts().every(({ signal }) => signal?.aborted === true);
    await waitUntil('the shards are told', isTold);
  });

  it('about the tenants of a collection is given up in the same way (F-20)', async () => {
    const { router, contexts } = silentCluster();
    const caller = new GiveUp();
    const options = { timeoutMs: 10_000, signal: caller };
    const failure = failureOf(router.countTenants('docs', { limit: 10 }, options));
    await waitUntil('a shard is asked', () => contexts().length > 0);
    caller.abort();
    expect((await failure).reason).toBe('CANCELLED');
    expect(contexts().map(({ signal }) => signal)).toEqual(contexts().map(() => caller));
  });
});

describe('a collection that the node does not know', () => {
  it.each(doubtful)('is not said to be missing where $why', async ({ of }) => {
    const notReady = { reason: 'NODE_NOT_READY', retryable: true, outcome: 'not-applied' };
    const calls: (() => unknown)[] = [
      () => of().collection('docs', CALL),
      () => of().newestCollection('docs', CALL),
      () => of().count('docs', undefined, READ),
      () => of().delete('docs', ['a'], WRITE),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(notReady);
  });

  it('is missing where the topology has been asked', async () => {
    const known = backend(async () => undefined);
    await expect(known.count('docs', undefined, READ)).rejects.toMatchObject({
      reason: 'COLLECTION_NOT_FOUND',
    });
  });

  it('leaves the answer time to arrive, and a caller who gave up alone', async () => {
    const limits: number[] = [];
    const asked = backend(async (timeoutMs) => void limits.push(timeoutMs));
    await expect(asked.count('docs', undefined, { ...READ, timeoutMs: 1_000 })).rejects.toThrow();
    expect(limits).toEqual([500]);
    const cancelled = backend(failing('CANCELLED')).count('docs', undefined, READ);
    await expect(cancelled).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
});
