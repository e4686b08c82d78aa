// Goal: operators can look after tenants also while a shard is away, and begin nothing that would
// not end (O1, O4, P-10). Method: the node's administration over real engines, some of which wait.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryAdmin } from '../../../src/node/tenant-admin.js';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { defined } from '../../../src/shared/assert.js';
import type { TopologyCommand } from '../../../src/topology/document.js';
import { waitUntil } from '../../support/wait-until.js';
import { config } from '../topology/topology-fixtures.js';
import { EngineCluster, environment, type RoutingNode } from './engine-cluster.js';

const { signal } = new AbortController();
const SOON = { timeoutMs: 5_000, signal };
const BRIEF = { timeoutMs: 200, signal };
const USAGE = { withoutUsage: false };
const NO_USAGE = { withoutUsage: true };
/** The second collection of a test. */
const MORE = { collectionId: 2 };

let cluster: EngineCluster;
let admin: DirectoryAdmin;

/** The administration of a node. */
function adminOf(node: RoutingNode): DirectoryAdmin {
  const topology = {
    propose: async (command: TopologyCommand) => cluster.propose(command),
    refresh: async () => {
      node.view.publish(cluster.document);
    },
  };
  const { view, router } = node;
  return new DirectoryAdmin({ router, view, topology: () => topology, environment });
}

beforeEach(async () => {
  cluster = await EngineCluster.start();
  await cluster.createCollection('docs', { routing: 'tenant' });
  admin = adminOf(cluster.leader);
});

afterEach(() => cluster.close());

/** Makes a shard answer nobody until it is told to. */
function takeAway(shardId: number): () => void {
  let back = (): void => undefined;
  cluster.shard(shardId).gate = new Promise((resolve) => {
    back = resolve;
  });
  return back;
}

function hashedShard(tenant: string): number {
  const entries = cluster.document.placements?.entries ?? [];
  const [slotTable] = entries.flatMap(({ state }) =>
    state.kind === 'tenants' ? [state.table.slotTable] : [],
  );
  return defined(slotTable?.[slotOfKey(tenant)], 'the slot');
}

const away = (): number => (hashedShard('acme') + 1) % 4;

function assign(shardId: number) {
  return { kind: 'assignTenant', tenant: 'acme', shardId } as const;
}

async function write(tenant: string, collection = 'docs'): Promise<void> {
  const record = { id: 'a', values: Float32Array.of(1, 2), metadata: new Uint8Array(0) };
  await cluster.router.upsert(collection, [record], { ...SOON, tenant });
}

describe('a change of tenants', () => {
  it('is not begun while a shard that it is about does not answer (O1)', async () => {
    for (const shardId of [hashedShard('acme'), away()]) {
      const before = cluster.document;
      const back = takeAway(shardId);
      await expect(admin.change(assign(away()), 'me', BRIEF)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
      expect(cluster.document).toBe(before);
      back();
    }
    expect(await admin.change(assign(away()), 'me', SOON)).toMatchObject({ changed: true });
  });

  it('does not wait for shards that it is not about (P-10)', async () => {
    const others = [0, 1, 2, 3].filter((id) => id !== away() && id !== hashedShard('acme'));
    for (const shardId of others) takeAway(shardId);
    expect(await admin.change(assign(away()), 'me', SOON)).toMatchObject({ changed: true });
  });

  it('is one, however many ask for it at the same time', async () => {
    const answers = await Promise.all([
      admin.change(assign(away()), 'me', SOON),
      admin.change(assign(away()), 'you', SOON),
    ]);
    expect(answers.map(({ changed }) => changed)).toEqual([true, true]);
    const { audit } = await admin.describe(NO_USAGE, SOON);
    expect(audit).toMatchObject([{ changeId: 1, action: 'assignTenant' }]);
  });
});

describe('a change that is given up', () => {
  it('frees the directory where only a shard is away that would have gained (O4)', async () => {
    cluster.stopDriving();
    const waiting = admin.change(assign(away()), 'me', SOON);
    waiting.catch(() => undefined);
    await waitUntil('it has begun', () => cluster.document.placements?.change !== undefined);
    takeAway(away());
    const { change } = await admin.describe(NO_USAGE, SOON);
    expect(change).toMatchObject({ changeId: 1, stage: 'fencing', by: 'me', tenant: 'acme' });
    await admin.cancel(1, SOON);
    cluster.drive();
    await expect(waiting).rejects.toMatchObject({ reason: 'TENANT_CHANGE_CANCELLED' });
    await cluster.settled();
    await write('acme');
    const description = await admin.describe(NO_USAGE, SOON);
    expect(description).toMatchObject({
      assignments: [],
      audit: [{ changeId: 1, refused: 'TENANT_CHANGE_CANCELLED' }],
    });
    expect(description.change).toBeUndefined();
  });

  it('may be so again, and is not where it is decided or never was', async () => {
    cluster.stopDriving();
    cluster.begin(assign(away()));
    await admin.cancel(1, SOON);
    expect(await admin.cancel(1, SOON)).toMatchObject({ changed: true });
    cluster.drive();
    await cluster.settled();
    await cluster.change(assign(away()));
    for (const changeId of [2, 3]) {
      await expect(admin.cancel(changeId, SOON)).rejects.toMatchObject({
        reason: 'CHANGE_NOT_FOUND',
        field: 'changeId',
      });
    }
    await write('acme');
  });
});

describe('what is told of tenants', () => {
  it('is the directory and its log, also while a shard is away (M-18)', async () => {
    await write('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'beta', shardId: 2 });
    const whole = await admin.describe(USAGE, SOON);
    expect(whole.shards.map(({ vectors }) => vectors).sort()).toEqual([0, 0, 0, 1]);
    takeAway(1);
    const { audit, assignments } = whole;
    expect(await admin.describe(USAGE, BRIEF)).toMatchObject({ shards: [], audit, assignments });
    for (const shard of cluster.shards) shard.calls.length = 0;
    expect(await admin.describe(NO_USAGE, BRIEF)).toMatchObject({ shards: [], audit });
    expect(cluster.shards.flatMap(({ calls }) => calls)).toEqual([]);
  });

  it('is of collections that this node has just heard of, and of none that is gone', async () => {
    const behind = cluster.addNode();
    const settings = { dimension: 2, metric: 'l2', routing: 'tenant' } as const;
    cluster.propose({ kind: 'beginCreateCollection', config: config('more', settings) });
    await waitUntil('it is there', () =>
      cluster.document.collections.every(({ state }) => state === 'active'),
    );
    await write('acme', 'more');
    const late = adminOf(behind);
    const page = { limit: 10 };
    expect((await late.count('more', page, SOON)).counts).toMatchObject([{ tenant: 'acme' }]);
    await expect(late.count('none', page, SOON)).rejects.toMatchObject({
      reason: 'COLLECTION_NOT_FOUND',
    });
  });

  it('leaves out a collection that is dropped while it is counted', async () => {
    await cluster.createCollection('more', { routing: 'tenant' });
    await write('acme', 'more');
    await write('acme');
    const { view, router } = cluster.leader;
    const dropping = new DirectoryAdmin({
      view,
      environment,
      topology: () => ({
        propose: async (command: TopologyCommand) => cluster.propose(command),
        refresh: async () => undefined,
      }),
      router: {
        barrier: (shardId, options) => router.barrier(shardId, options),
        countTenants: async (collection, page, options) => {
          if (collection === 'more') cluster.propose({ kind: 'beginDropCollection', ...MORE });
          return router.countTenants(collection, page, options);
        },
      },
    });
    const { shards } = await dropping.describe(USAGE, SOON);
    expect(shards.reduce((sum, { vectors }) => sum + vectors, 0)).toBe(1);
  });
});
