// Goal: a write whose answer was lost applies once, wherever its tenant is by then (A7, P-2, O5).
// Method: real engines and routers; a tenant is assigned between a request and its retry.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { defined } from '../../../src/shared/assert.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { EngineCluster } from './engine-cluster.js';

const SOON = { timeoutMs: 5_000, tenant: 'acme' };
const VECTOR = Float32Array.of(1, 2);
const EXPIRED = { reason: 'SESSION_EXPIRED', outcome: 'unknown' };

let cluster: EngineCluster;

beforeEach(async () => {
  cluster = await EngineCluster.start();
  await cluster.createCollection('docs', { routing: 'tenant' });
});

afterEach(() => cluster.close());

function key(sequence: number, more: Partial<RequestKey> = {}) {
  const own = { clientId: 'client', clientStampMs: 1_000, lowestUnanswered: 0 };
  return { idempotencyKey: { ...own, sequence, ...more } };
}

function upsert(sequence: number, id = 'x', more: Partial<RequestKey> = {}) {
  const record = { id, values: VECTOR, metadata: new Uint8Array(0) };
  return cluster.router.upsert('docs', [record], { ...SOON, ...key(sequence, more) });
}

function remove(sequence: number, id = 'x', more: Partial<RequestKey> = {}) {
  return cluster.router.delete('docs', [id], { ...SOON, ...key(sequence, more) });
}

async function count(): Promise<number> {
  return (await cluster.router.count('docs', SOON)).count;
}

/** Where its hash sends a tenant. */
function hashedShard(tenant: string): number {
  const entries = cluster.document.placements?.entries ?? [];
  const [slotTable] = entries.flatMap(({ state }) =>
    state.kind === 'tenants' ? [state.table.slotTable] : [],
  );
  return defined(slotTable?.[slotOfKey(tenant)], 'the slot');
}

const home = (): number => hashedShard('acme');

async function assign(shardId: number): Promise<void> {
  await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId });
}

/** A shard that does not have the tenant's slot. */
const away = (): number => (home() + 1) % 4;

describe('a retry after its tenant was assigned', () => {
  it('of a delete is not told that there was nothing to delete', async () => {
    const { outcomes } = await upsert(1);
    const [written] = outcomes;
    if (written?.kind !== 'applied') throw new Error('the record is written');
    const conditional = { ...SOON, ifVersions: [written.version], ...key(2) };
    await cluster.router.delete('docs', ['x'], conditional);
    await assign(away());
    await expect(cluster.router.delete('docs', ['x'], conditional)).rejects.toMatchObject(EXPIRED);
  });

  it('of an upsert does not bring back what somebody has deleted since', async () => {
    await upsert(1);
    await remove(1, 'x', { clientId: 'other' });
    await assign(away());
    await expect(upsert(1)).rejects.toMatchObject(EXPIRED);
    expect(await count()).toBe(0);
    // What is new goes through, of those who were there before and of others.
    await upsert(2, 'y');
    await upsert(1, 'z', { clientId: 'new' });
    expect(await count()).toBe(2);
    // And what was applied here is known here.
    const { outcomes } = await upsert(2, 'y');
    expect(outcomes).toMatchObject([{ kind: 'applied', existed: false }]);
  });

  it('is told so after restarts, and by the log of the new shard alone', async () => {
    await upsert(3);
    await remove(1, 'x', { clientId: 'other' });
    await assign(away());
    await cluster.shard(away()).restart();
    await expect(upsert(3)).rejects.toMatchObject(EXPIRED);
    await cluster.shard(away()).replay();
    await expect(upsert(2)).rejects.toMatchObject(EXPIRED);
    await upsert(4, 'y');
    expect(await count()).toBe(1);
  });

  it('is told so where the client had seen the answer, and its request came late', async () => {
    await upsert(1);
    await remove(2);
    // A later one lets the shard forget both, and is about somebody else.
    const neighbour = Array.from({ length: 1_000 }, (_, at) => `tenant-${at}`).find(
      (name) => hashedShard(name) === home(),
    );
    const record = { id: 'x', values: VECTOR, metadata: new Uint8Array(0) };
    await cluster.router.upsert('docs', [record], {
      ...SOON,
      tenant: defined(neighbour, 'a tenant of the same shard'),
      ...key(3, { lowestUnanswered: 3 }),
    });
    await assign(away());
    await expect(upsert(1)).rejects.toMatchObject(EXPIRED);
    expect(await count()).toBe(0);
  });

  it('is told so two assignments later, and back where it was knows what it did', async () => {
    await upsert(1);
    await remove(1, 'x', { clientId: 'other' });
    await assign(away());
    await assign((home() + 2) % 4);
    await expect(upsert(1)).rejects.toMatchObject(EXPIRED);
    await assign(home());
    const { outcomes } = await upsert(1);
    expect(outcomes).toMatchObject([{ kind: 'applied', existed: false }]);
    expect(await count()).toBe(0);
  });

  it('is told so where another leader of the topology went on half way (O1)', async () => {
    await upsert(1);
    await remove(1, 'x', { clientId: 'other' });
    cluster.stopDriving();
    cluster.begin({ kind: 'assignTenant', tenant: 'acme', shardId: away() });
    const change = defined(cluster.document.placements?.change, 'the change');
    const { changeId, placementId, steps } = change;
    const losing = defined(steps[0], 'the step of the shard that loses');
    const common = { changeId, placementId, change: losing.change };
    await cluster.tell(losing.shardId, { kind: 'fenceUnits', ...common });
    cluster.propose({ kind: 'decideTenantChange', changeId });
    const { ownershipVersion } = losing;
    await cluster.tell(losing.shardId, { kind: 'changeOwnership', ...common, ownershipVersion });
    cluster.drive();
    await cluster.settled();
    await expect(upsert(1)).rejects.toMatchObject(EXPIRED);
    expect(await count()).toBe(0);
  });

  it('is told so where its slot went, not it alone (M-19)', async () => {
    await upsert(1);
    await remove(1, 'x', { clientId: 'other' });
    const before = home();
    await cluster.change({ kind: 'dedicateShard', shardId: before });
    expect(home()).not.toBe(before);
    await expect(upsert(1)).rejects.toMatchObject(EXPIRED);
    expect(await count()).toBe(0);
  });

  it('is a new request in a collection that is not routed by tenant', async () => {
    await upsert(1);
    await remove(2);
    await assign(away());
    expect((await cluster.shard(away()).engine.stats()).sessions).toBe(1);
    await cluster.createCollection('plain');
    const ids = Array.from({ length: 40 }, (_, at) => `id-${at}`);
    const { outcomes } = await cluster.router.delete('plain', ids, { ...SOON, ...key(1) });
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
  });
});
