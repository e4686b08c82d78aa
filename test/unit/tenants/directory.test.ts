// Goal: tenants are where the directory says, whoever believes what (M-18 to M-20, O1 to O4).
// Method: real engines, transitions, drivers and routers, some of which are told late.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { defined } from '../../../src/shared/assert.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { PlacementEntry } from '../../../src/topology/placements.js';
import { waitUntil } from '../../support/wait-until.js';
import { EngineCluster } from './engine-cluster.js';

const SOON = { timeoutMs: 5_000 };
const NOTHING = new Uint8Array(0);
const VECTOR = Float32Array.of(1, 2);

let cluster: EngineCluster;

beforeEach(async () => {
  cluster = await EngineCluster.start();
  await cluster.createCollection('docs', { routing: 'tenant' });
});

afterEach(() => cluster.close());

function write(tenant: string, id = 'a', router = cluster.router): Promise<unknown> {
  const record = { id, values: VECTOR, metadata: NOTHING };
  return router.upsert('docs', [record], { ...SOON, tenant });
}

async function countOf(tenant: string, router = cluster.router): Promise<number> {
  return (await router.count('docs', { ...SOON, tenant })).count;
}

function directory(): Extract<PlacementEntry['state'], { kind: 'tenants' }> {
  const entries = cluster.document.placements?.entries ?? [];
  const [state] = entries.flatMap((one) => (one.state.kind === 'tenants' ? [one.state] : []));
  return defined(state, 'the tenant directory');
}

/** Where its hash sends a tenant. */
function hashedShard(tenant: string): number {
  return defined(directory().table.slotTable[slotOfKey(tenant)], 'a slot');
}

function otherShard(tenant: string): number {
  return (hashedShard(tenant) + 1) % 4;
}

/** The shards that the work asks. */
async function askedBy(work: () => Promise<unknown>): Promise<number[]> {
  for (const shard of cluster.shards) shard.calls.length = 0;
  await work();
  return cluster.shards.filter(({ calls }) => calls.length > 0).map(({ shardId }) => shardId);
}

describe('a collection that is routed by tenant', () => {
  it('asks one shard for one tenant, whatever is asked (M-20)', async () => {
    await write('acme');
    const home = [hashedShard('acme')];
    const scope = { ...SOON, tenant: 'acme' };
    const query = {
      target: { kind: 'vector', values: VECTOR },
      limit: 3,
      includeValues: false,
      includeMetadata: false,
    } as const;
    const { router } = cluster;
    const include = { values: false, metadata: false };
    expect(await askedBy(() => router.search('docs', [query], scope))).toEqual(home);
    expect(await askedBy(() => router.explain('docs', query, scope))).toEqual(home);
    expect(await askedBy(() => router.count('docs', scope))).toEqual(home);
    expect(await askedBy(() => router.scroll('docs', query, scope))).toEqual(home);
    expect(await askedBy(() => router.fetch('docs', ['a', 'b'], include, scope))).toEqual(home);
    expect(await askedBy(() => router.delete('docs', ['b', 'c', 'd'], scope))).toEqual(home);
    const filter = { filter: NOTHING };
    expect(await askedBy(() => router.deleteByFilter('docs', filter, scope))).toEqual(home);
    expect(await askedBy(() => write('acme', 'z'))).toEqual(home);
  });

  it('wants a tenant, and all of them by name only (M-20)', async () => {
    await write('acme');
    const refused = { reason: 'INVALID_REQUEST', field: 'tenant' };
    await expect(write('')).rejects.toMatchObject(refused);
    await expect(countOf('')).rejects.toMatchObject(refused);
    await expect(cluster.router.count('docs', SOON)).rejects.toMatchObject(refused);
    const filter = { filter: NOTHING };
    await expect(cluster.router.deleteByFilter('docs', filter, SOON)).rejects.toMatchObject(
      refused,
    );
    const everybody = { ...SOON, allTenants: true };
    expect((await cluster.router.count('docs', everybody)).count).toBe(1);
    await expect(
      cluster.router.count('docs', { ...everybody, tenant: 'acme' }),
    ).rejects.toMatchObject({ reason: 'INVALID_REQUEST', field: 'allTenants' });
    const include = { values: false, metadata: false };
    const manner = { ...SOON, allTenants: true };
    await expect(cluster.router.fetch('docs', ['a'], include, manner)).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'allTenants',
    });
  });
});

describe('an assignment', () => {
  it('brings a tenant to its shard, and leaves an entry in the audit log (M-18)', async () => {
    const target = otherShard('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: target });
    expect(await askedBy(() => write('acme'))).toEqual([target]);
    expect(await countOf('acme')).toBe(1);
    expect(cluster.document.placements?.audit).toEqual([
      {
        changeId: 1,
        action: { kind: 'assignTenant', tenant: 'acme', shardId: target },
        fromShardId: hashedShard('acme'),
        by: 'the test',
        atMs: 1,
      },
    ]);
  });

  it('of a tenant that is where it is already changes nothing', async () => {
    const action = { kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') } as const;
    await cluster.change(action);
    const { epoch } = cluster.document;
    expect(cluster.begin(action)).toEqual({ kind: 'tenants', changeId: 0 });
    expect(cluster.document.epoch).toBe(epoch);
  });

  it('of a tenant with records is refused by the shard that has them (M-18, O2)', async () => {
    await write('acme');
    const moved = { kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') } as const;
    await expect(cluster.change(moved)).rejects.toMatchObject({ reason: 'TENANT_HAS_DATA' });
    expect(directory().table.assignments).toEqual([]);
    expect(cluster.document.placements?.audit[0]?.refused?.reason).toBe('TENANT_HAS_DATA');
    // Everything is as before: the tenant still writes and reads.
    await write('acme', 'b');
    expect(await countOf('acme')).toBe(2);
    const all = await cluster.router.scroll('docs', { ...PAGE }, { ...SOON, tenant: 'acme' });
    await cluster.router.delete(
      'docs',
      all.records.map(({ id }) => id),
      { ...SOON, tenant: 'acme' },
    );
    await cluster.change(moved);
    expect(await askedBy(() => write('acme'))).toEqual([moved.shardId]);
  });

  it('asks the shard, not a router: a write that came first decides (O2)', async () => {
    const home = cluster.shard(hashedShard('acme'));
    let open = (): void => undefined;
    home.gate = new Promise((resolve) => {
      open = resolve;
    });
    // On its way to the log before anybody speaks of an assignment.
    const writing = write('acme');
    await waitUntil('the write is on its way', () => home.calls.includes('propose'));
    const changing = cluster.change({
      kind: 'assignTenant',
      tenant: 'acme',
      shardId: otherShard('acme'),
    });
    changing.catch(() => undefined);
    open();
    await writing;
    await expect(changing).rejects.toMatchObject({ reason: 'TENANT_HAS_DATA' });
    expect(await countOf('acme')).toBe(1);
  });

  it('pins a tenant to the shard of its hash, and lets go of it (M-18)', async () => {
    await write('acme');
    const shardId = hashedShard('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId });
    expect(directory().table.assignments).toEqual([{ tenant: 'acme', shardId }]);
    await cluster.change({ kind: 'releaseTenant', tenant: 'acme' });
    expect(directory().table.assignments).toEqual([]);
    expect(await countOf('acme')).toBe(1);
  });

  it('survives restarts of shards, and is in their logs (M-18)', async () => {
    const target = otherShard('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: target });
    await write('acme');
    for (const shard of cluster.shards) await shard.restart();
    expect(await countOf('acme')).toBe(1);
    for (const shard of cluster.shards) await shard.replay();
    expect(await countOf('acme')).toBe(1);
    await write('acme', 'b');
    expect(await askedBy(() => countOf('acme'))).toEqual([target]);
  });

  it('counts for collections that come later, and after the last has gone', async () => {
    const target = otherShard('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: target });
    cluster.propose({ kind: 'beginDropCollection', collectionId: 1 });
    await waitUntil('it is gone', () => cluster.document.collections.length === 0);
    await cluster.change({ kind: 'assignTenant', tenant: 'beta', shardId: otherShard('beta') });
    await cluster.createCollection('docs', { routing: 'tenant' });
    expect(await askedBy(() => write('acme'))).toEqual([target]);
    expect(await askedBy(() => write('beta'))).toEqual([otherShard('beta')]);
  });

  it('may come before any collection', async () => {
    const fresh = await EngineCluster.start();
    await fresh.change({ kind: 'assignTenant', tenant: 'acme', shardId: 2 });
    await fresh.createCollection('docs', { routing: 'tenant' });
    const record = { id: 'a', values: VECTOR, metadata: NOTHING };
    await fresh.router.upsert('docs', [record], { ...SOON, tenant: 'acme' });
    expect(fresh.shard(2).calls).toContain('propose');
    await fresh.close();
  });

  it('is refused for a shard that does not exist, and while another is under way', () => {
    const beyond = { kind: 'assignTenant', tenant: 'acme', shardId: 4 } as const;
    expect(cluster.begin(beyond)).toMatchObject({ error: { reason: 'SHARD_NOT_FOUND' } });
    cluster.stopDriving();
    const action = { kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') } as const;
    const begun = cluster.begin(action);
    expect(begun).toEqual({ kind: 'tenants', changeId: 1 });
    // The same again, because the answer was lost, is no second one.
    expect(cluster.begin(action)).toEqual(begun);
    expect(cluster.begin({ ...action, tenant: 'beta' })).toMatchObject({
      error: { reason: 'TENANT_CHANGE_IN_PROGRESS' },
    });
    expect(cluster.propose(CREATE)).toMatchObject({
      error: { reason: 'TENANT_CHANGE_IN_PROGRESS' },
    });
  });

  it('has an audit log that forgets the oldest lines', async () => {
    const max = LIMITS.tenantAuditMax.value;
    const action = { kind: 'assignTenant', tenant: 'acme', shardId: 0 } as const;
    const lines = Array.from({ length: max }, (_, at) => ({
      changeId: at + 1,
      action,
      by: 'the test',
      atMs: at,
    }));
    const placements = defined(cluster.document.placements, 'the placements');
    const full = { ...placements, audit: lines, nextChangeId: max + 1 };
    cluster.document = { ...cluster.document, placements: full };
    await cluster.change({ ...action, shardId: otherShard('acme') });
    const audit = cluster.document.placements?.audit ?? [];
    expect(audit).toHaveLength(max);
    expect(audit[0]?.changeId).toBe(2);
    expect(audit.at(-1)?.changeId).toBe(max + 1);
  });
});

const PAGE = { limit: 10, includeValues: false, includeMetadata: false };
const CREATE = {
  kind: 'beginCreateCollection',
  config: {
    name: 'more',
    dimension: 2,
    metric: 'l2',
    m: 16,
    efConstruction: 100,
    indexedFields: [],
    routing: 'tenant',
  },
} as const;

describe('a router that is behind (M-15)', () => {
  it('is refused, learns, and goes on inside its deadline', async () => {
    const stale = cluster.addNode();
    const target = otherShard('acme');
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: target });
    await write('acme');
    for (const work of [
      () => countOf('acme', stale.router),
      () => write('acme', 'b', stale.router),
    ]) {
      const late = cluster.addNode();
      const working = work();
      const home = cluster.shard(hashedShard('acme'));
      await waitUntil('it has asked the old shard', () => home.calls.length > 1);
      cluster.tellAll();
      await working;
      expect(late.view.current()?.epoch).toBe(cluster.document.epoch);
    }
    expect(await countOf('acme', stale.router)).toBe(2);
    expect(await countOf('acme')).toBe(2);
  });

  it('is never told that there is nothing, or writes what nobody finds (O3)', async () => {
    const stale = cluster.addNode();
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') });
    await write('acme');
    const brief = { timeoutMs: 200, tenant: 'acme' };
    await expect(stale.router.count('docs', brief)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const record = { id: 'b', values: VECTOR, metadata: NOTHING };
    await expect(stale.router.upsert('docs', [record], brief)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await countOf('acme')).toBe(1);
  });

  it('finds every record of all tenants, under one table', async () => {
    await write('beta');
    const stale = cluster.addNode();
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') });
    await write('acme');
    const counting = stale.router.count('docs', { ...SOON, allTenants: true });
    await waitUntil('it was refused', () => cluster.shards.some(({ calls }) => calls.length > 0));
    cluster.tellAll();
    expect((await counting).count).toBe(2);
  });
});

describe('a change that is cut off', () => {
  const changeId = 1;
  const assign = (): void => {
    const shardId = otherShard('acme');
    cluster.begin({ kind: 'assignTenant', tenant: 'acme', shardId });
  };

  it('goes on under the next leader, wherever it was (O1)', async () => {
    cluster.stopDriving();
    assign();
    const change = defined(cluster.document.placements?.change, 'the change');
    const { placementId, steps } = change;
    const [losing] = steps;
    const { shardId, change: delta } = defined(losing, 'the step of the shard that loses');
    expect(shardId).toBe(hashedShard('acme'));
    await cluster.tell(shardId, { kind: 'fenceUnits', changeId, placementId, change: delta });
    // Fenced, and nobody has decided: writes wait, reads are as before.
    const brief = { timeoutMs: 200, tenant: 'acme' };
    const record = { id: 'b', values: VECTOR, metadata: NOTHING };
    await expect(cluster.router.upsert('docs', [record], brief)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await countOf('acme')).toBe(0);
    await write('other');
    cluster.drive();
    await cluster.settled();
    expect(await askedBy(() => write('acme'))).toEqual([otherShard('acme')]);
  });

  it('leaves no fence behind when it is given up, also from a late copy (O4)', async () => {
    cluster.stopDriving();
    assign();
    const { placementId, steps } = defined(cluster.document.placements?.change, 'the change');
    const { shardId, change } = defined(steps[0], 'a step');
    const fence = { kind: 'fenceUnits', changeId, placementId, change } as const;
    await cluster.tell(shardId, fence);
    const refused = { reason: 'TENANT_HAS_DATA', message: 'it has' } as const;
    cluster.propose({ kind: 'decideTenantChange', changeId, refused });
    cluster.drive();
    await cluster.settled();
    // A copy of the fence that was held up on its way; there is still no record that refuses it.
    const answer = await cluster.tell(shardId, fence);
    expect(answer).toMatchObject({
      result: { kind: 'refused', error: { reason: 'STALE_TOPOLOGY' } },
    });
    await write('acme');
    await cluster.shard(shardId).restart();
    await write('acme', 'b');
    expect(await countOf('acme')).toBe(2);
  });

  it('is decided once: what is said later has no effect', () => {
    cluster.stopDriving();
    assign();
    cluster.propose({ kind: 'decideTenantChange', changeId });
    const decided = cluster.document;
    const refused = { reason: 'TENANT_HAS_DATA', message: 'too late' } as const;
    cluster.propose({ kind: 'decideTenantChange', changeId, refused });
    expect(cluster.document).toBe(decided);
    cluster.propose({ kind: 'finishTenantChange', changeId: changeId + 1 });
    expect(cluster.document).toBe(decided);
  });

  it('repeats no step: a shard that was told is told again in vain (O1)', async () => {
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId: otherShard('acme') });
    const home = cluster.shard(hashedShard('acme'));
    const { ownershipVersion } = await home.engine.stats();
    const change = {
      units: { added: [], removed: [] },
      here: { added: [], removed: [] },
      elsewhere: { added: [], removed: ['acme'] },
    };
    const common = { kind: 'changeOwnership', changeId: 1, placementId: 1, change } as const;
    const again = await cluster.tell(home.shardId, { ...common, ownershipVersion });
    expect(again).toMatchObject({ result: { kind: 'done' } });
    const beyond = await cluster.tell(home.shardId, {
      ...common,
      ownershipVersion: ownershipVersion + 2,
    });
    expect(beyond).toMatchObject({ result: { kind: 'refused' } });
    expect((await home.engine.stats()).ownershipVersion).toBe(ownershipVersion);
  });
});

describe('a dedicated shard (M-19)', () => {
  it('gives its slots away, takes assigned tenants only, and shares again', async () => {
    const names = Array.from({ length: 40 }, (_, at) => `tenant-${at}`);
    const dedicated = 2;
    await cluster.change({ kind: 'assignTenant', tenant: 'big', shardId: dedicated });
    await cluster.change({ kind: 'dedicateShard', shardId: dedicated });
    await write('big');
    for (const name of names) await write(name);
    const { engine } = cluster.shard(dedicated);
    const { ownershipVersion } = await engine.stats();
    const scope = { collectionId: 1, ownershipVersion };
    expect(await engine.tenants(scope, { limit: 100 })).toEqual([{ tenant: 'big', records: 1 }]);
    for (const name of names) expect(await countOf(name)).toBe(1);
    expect((await cluster.router.count('docs', { ...SOON, allTenants: true })).count).toBe(41);
    await cluster.change({ kind: 'shareShard', shardId: dedicated });
    expect(directory().table.dedicatedShardIds).toEqual([]);
  });

  it('refuses old tables before anybody else may answer for its slots (O3)', async () => {
    const dedicated = 3;
    const names = Array.from({ length: 100 }, (_, at) => `tenant-${at}`);
    const [pinned = '', other = ''] = names.filter((name) => hashedShard(name) === dedicated);
    await cluster.change({ kind: 'assignTenant', tenant: pinned, shardId: dedicated });
    const stale = cluster.addNode();
    cluster.stopDriving();
    cluster.begin({ kind: 'dedicateShard', shardId: dedicated });
    const { changeId, placementId, steps } = defined(
      cluster.document.placements?.change,
      'the change',
    );
    cluster.propose({ kind: 'decideTenantChange', changeId });
    const { shardId, change, ownershipVersion } = defined(steps[0], 'the first step');
    const common = { kind: 'changeOwnership', changeId, placementId } as const;
    await cluster.tell(shardId, { ...common, change, ownershipVersion });
    // Whoever had the newer table could have written there by now.
    const brief = { timeoutMs: 200, tenant: other };
    await expect(stale.router.count('docs', brief)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    cluster.drive();
    await cluster.settled();
    await write(other);
    expect(await countOf(other)).toBe(1);
  });

  it('is none while tenants that nobody assigned have records there (O2)', async () => {
    await write('acme');
    const shardId = hashedShard('acme');
    await expect(cluster.change({ kind: 'dedicateShard', shardId })).rejects.toMatchObject({
      reason: 'TENANT_HAS_DATA',
    });
    // Assigned, it may stay.
    await cluster.change({ kind: 'assignTenant', tenant: 'acme', shardId });
    await cluster.change({ kind: 'dedicateShard', shardId });
    expect(await countOf('acme')).toBe(1);
  });

  it('leaves one shard for all others at least', async () => {
    for (const shardId of [0, 1, 2]) await cluster.change({ kind: 'dedicateShard', shardId });
    const last = cluster.begin({ kind: 'dedicateShard', shardId: 3 });
    expect(last).toMatchObject({ error: { reason: 'INVALID_REQUEST', field: 'shardIds' } });
  });
});
