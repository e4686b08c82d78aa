// Goal: a node that does not reach a shard's leader serves calls all the same (F-7, S-08, M-14).
// Method: the routers of three nodes over fake replicas, real calls between nodes, virtual time.
import { describe, expect, it } from 'vitest';
import { RemoteReplica } from '../../../src/replica/remote-replica.js';
import type { ShardReplica } from '../../../src/replica/replica.js';
import { serveReplicaCall } from '../../../src/replica/rpc-server.js';
import { SILENCE_MS } from '../../../src/router/leader-watch.js';
import { Router } from '../../../src/router/router.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { Transport } from '../../../src/transport/transport.js';
import { FakeCluster } from './fake-cluster.js';

const DEADLINE_MS = 10_000;
const options = { timeoutMs: DEADLINE_MS };
const KEY = { clientId: 'c', clientStampMs: 1, sequence: 1, lowestUnanswered: 1 };
const record = (id: string) => ({
  id,
  values: Float32Array.of(1, 2),
  metadata: new Uint8Array(0),
});

type Cut = 'break' | 'hold';

/** One shard on three nodes, node 1 leads; each node has a router and links to the others. */
class Nodes {
  readonly cluster = new FakeCluster({ shards: 1 });
  readonly #cuts = new Map<string, Cut>();
  readonly #routers = new Map<number, Router>();
  /** Calls that went over a link, status questions left out. */
  readonly sent: string[] = [];

  constructor() {
    const { view, environment } = this.cluster;
    for (const localNodeId of [1, 2, 3]) {
      const replicas = (_: unknown, { nodeId }: { readonly nodeId: number }): ShardReplica =>
        this.#replicaOf(localNodeId, nodeId);
      this.#routers.set(localNodeId, new Router({ view, replicas, environment, localNodeId }));
    }
  }

  router(nodeId: number): Router {
    const router = this.#routers.get(nodeId);
    if (router === undefined) throw new Error(`no node ${nodeId}`);
    return router;
  }

  cut(one: number, other: number, how: Cut): void {
    this.#cuts.set(`${one}-${other}`, how).set(`${other}-${one}`, how);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** How long the call takes, and what it answers. */
  async time<T>(work: Promise<T>): Promise<{ readonly tookMs: number; readonly value: T }> {
    const startMs = this.cluster.environment.nowMs;
    const value = await this.cluster.run(work);
    return { tookMs: this.cluster.environment.nowMs - startMs, value };
  }

  #replicaOf(from: number, nodeId: number): ShardReplica {
    if (from === nodeId) return this.cluster.replica(0, nodeId);
    const request: Transport['request'] = (to, payload, { timeoutMs }) =>
      this.#request(from, to, payload, timeoutMs);
    const { clock } = this.cluster.environment;
    return new RemoteReplica({ shardId: 0, groupId: 1, nodeId, transport: { request }, clock });
  }

  #request(from: number, to: number, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { environment } = this.cluster;
    if (payload[2] !== STATUS_METHOD) this.sent.push(`${from}-${to}`);
    const cut = this.#cuts.get(`${from}-${to}`);
    if (cut === 'break') {
      const message = `there is no link to node ${to}`;
      return Promise.reject(new FlotillaError('SHARD_UNAVAILABLE', message));
    }
    return new Promise((resolve, reject) => {
      const late = new FlotillaError('DEADLINE_EXCEEDED', `node ${to} did not answer`);
      const timer = environment.scheduler.after(timeoutMs, () => reject(late));
      if (cut === 'hold') return;
      const replicas = {
        local: new Map([[1, this.cluster.replica(0, to)]]),
        replicaOf: (_: unknown, nodeId: number) => this.#replicaOf(to, nodeId),
      };
      const { signal } = new AbortController();
      serveReplicaCall(payload, { replicas, clock: environment.clock, signal })
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }
}

/** Third byte of a call that asks for the status. */
const STATUS_METHOD = 5;

describe.each<Cut>(['break', 'hold'])(
  'two nodes cut from one another (%s), a third sees both',
  (how) => {
    it('answer reads and writes in a small part of their deadline (F-7, S-08)', async () => {
      const nodes = new Nodes();
      const router = nodes.router(2);
      await nodes.time(router.count('docs', options));
      nodes.cut(1, 2, how);
      const first = await nodes.time(router.count('docs', options));
      expect(first.tookMs).toBeLessThanOrEqual(SILENCE_MS + 500);
      for (let at = 0; at < 20; at++) {
        const write = await nodes.time(router.upsert('docs', [record(`id-${at}`)], options));
        expect(write.value.outcomes[0]?.kind).toBe('applied');
        const read = await nodes.time(router.count('docs', options));
        expect(read.value.count).toBe(at + 1);
        expect(write.tookMs + read.tookMs).toBe(0);
      }
    });

    it('answer calls that have little time, in that (D3)', async () => {
      for (const timeoutMs of [200, 600]) {
        const nodes = new Nodes();
        const router = nodes.router(2);
        await nodes.time(router.count('docs', options));
        nodes.cut(1, 2, how);
        const read = await nodes.time(router.count('docs', { timeoutMs }));
        expect(read.tookMs).toBeLessThan(timeoutMs / 2);
        const write = await nodes.time(router.upsert('docs', [record('a')], { timeoutMs }));
        expect(write.value.outcomes[0]?.kind).toBe('applied');
      }
    });

    it('carry a write out once, whichever way it went (F-22)', async () => {
      const nodes = new Nodes();
      const router = nodes.router(2);
      await nodes.time(router.count('docs', options));
      nodes.cut(1, 2, how);
      const write = await nodes.time(router.upsert('docs', [record('a')], options));
      expect(write.value.outcomes).toEqual([{ kind: 'applied', version: 1n, existed: false }]);
      expect(write.tookMs).toBeLessThanOrEqual(SILENCE_MS + 500);
      expect(nodes.cluster.shard(0).nextVersion).toBe(2n);
    });

    it('go back to the short way after the heal', async () => {
      const nodes = new Nodes();
      const router = nodes.router(2);
      nodes.cut(1, 2, how);
      await nodes.time(router.count('docs', options));
      nodes.heal();
      await nodes.cluster.environment.advance(1_000);
      await nodes.time(router.count('docs', options));
      await nodes.cluster.environment.advance(1);
      nodes.sent.length = 0;
      await nodes.time(router.count('docs', options));
      expect(nodes.sent).toEqual(['2-1']);
    });

    it('find the next leader, also where the one between them becomes it', async () => {
      const nodes = new Nodes();
      const router = nodes.router(2);
      nodes.cut(1, 2, how);
      await nodes.time(router.count('docs', options));
      for (const leader of [3, 2, 3]) {
        nodes.cluster.shard(0).elect(leader);
        const { tookMs } = await nodes.time(router.count('docs', options));
        expect(tookMs).toBe(0);
        await nodes.cluster.environment.advance(1_000);
      }
    });
  },
);

describe('a call that is passed on', () => {
  it('goes one node further and no more (M-14)', async () => {
    const nodes = new Nodes();
    nodes.cut(1, 2, 'break');
    await nodes.time(nodes.router(2).count('docs', options));
    nodes.sent.length = 0;
    // Node 1 leads no more and does not know it yet: it refuses what node 3 hands it.
    nodes.cluster.replica(0, 1).faults = [{ reject: 'NOT_LEADER', leaderNodeId: 3 }, 'none'];
    await nodes.time(nodes.router(2).count('docs', options));
    expect(nodes.sent.slice(0, 2)).toEqual(['2-3', '3-1']);
    expect(nodes.sent.filter((way) => way.startsWith('1-'))).toEqual([]);
  });

  it('takes the rest of its time and its key along, and the table is checked there', async () => {
    const nodes = new Nodes();
    nodes.cut(1, 2, 'break');
    const write = { ...options, idempotencyKey: KEY };
    await nodes.time(nodes.router(2).upsert('docs', [record('a')], write));
    const leader = nodes.cluster.replica(0, 1);
    expect(leader.contexts.at(-1)).toMatchObject({ timeoutMs: DEADLINE_MS, epoch: 3 });
    expect(leader.contexts.at(-1)?.passOn).toBeUndefined();
    expect(nodes.cluster.shard(0).log[0]?.requestKey).toEqual(KEY);
    nodes.cluster.shard(0).ownershipVersion = 2;
    const stale = nodes.router(2).upsert('docs', [record('b')], { ...options, timeoutMs: 100 });
    await expect(nodes.time(stale)).rejects.toMatchObject({ outcome: 'not-applied' });
    expect(nodes.cluster.shard(0).log).toHaveLength(1);
  });

  it('is not asked for while all links work: no message and no timer more', async () => {
    const nodes = new Nodes();
    await nodes.time(nodes.router(2).count('docs', options));
    nodes.sent.length = 0;
    for (let at = 0; at < 5; at++) await nodes.time(nodes.router(2).count('docs', options));
    expect(nodes.sent).toEqual(Array(5).fill('2-1'));
    expect(nodes.cluster.replica(0, 3).calls.filter((call) => call === 'status')).toEqual([]);
    expect(nodes.cluster.environment.pendingTimers).toBe(0);
  });
});

describe.each<Cut>(['break', 'hold'])('a node that is cut from all others (%s)', (how) => {
  function isolated(): Nodes {
    const nodes = new Nodes();
    nodes.cut(2, 1, how);
    nodes.cut(2, 3, how);
    nodes.cluster.replica(0, 2).faults = [{ reject: 'NO_LEADER' }];
    return nodes;
  }

  it('tells a client soon that goes elsewhere, and a lone caller at the end', async () => {
    const nodes = isolated();
    const start = nodes.cluster.environment.nowMs;
    const toClient = nodes.router(2).count('docs', { ...options, retry: 'client' });
    await expect(nodes.time(toClient)).rejects.toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
    expect(nodes.cluster.environment.nowMs - start).toBeLessThanOrEqual(DEADLINE_MS / 3);
    const again = nodes.cluster.environment.nowMs;
    await expect(nodes.time(nodes.router(2).count('docs', options))).rejects.toMatchObject({
      reason: 'SHARD_UNAVAILABLE',
    });
    expect(nodes.cluster.environment.nowMs - again).toBe(DEADLINE_MS);
  });

  it('says of a write whether it can have happened (P-2)', async () => {
    const nodes = isolated();
    const write = { ...options, idempotencyKey: KEY, retry: 'client' as const };
    const start = nodes.cluster.environment.nowMs;
    const upsert = nodes.router(2).upsert('docs', [record('a')], write);
    const outcome = how === 'hold' ? 'unknown' : 'not-applied';
    await expect(nodes.time(upsert)).rejects.toMatchObject({ outcome, retryable: true });
    expect(nodes.cluster.environment.nowMs - start).toBeLessThanOrEqual(DEADLINE_MS / 3);
    // A client that goes elsewhere is not charged for it, however many calls come here.
    const later = nodes.router(2).upsert('docs', [record('b')], write);
    const error = await nodes.time(later).catch((thrown: FlotillaError) => thrown);
    expect(error).toMatchObject({
      outcome: 'not-applied',
      body: { details: { untouched: 'true' } },
    });
  });
});

describe('the node between', () => {
  it('may stop too: the call is not lost with it', async () => {
    const nodes = new Nodes();
    nodes.cut(1, 2, 'break');
    await nodes.time(nodes.router(2).count('docs', options));
    nodes.cut(2, 3, 'hold');
    const toClient = nodes.router(2).count('docs', { ...options, retry: 'client' });
    await expect(nodes.time(toClient)).rejects.toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
    expect(nodes.cluster.environment.nowMs).toBeLessThanOrEqual(DEADLINE_MS / 2);
  });

  it('that does not reach the leader either says so, and is asked again', async () => {
    const nodes = new Nodes();
    nodes.cut(1, 2, 'break');
    nodes.cut(1, 3, 'break');
    const work = nodes.router(2).count('docs', options);
    await nodes.cluster.environment.advance(1_000);
    nodes.cluster.shard(0).elect(3);
    await nodes.time(work);
    expect(nodes.cluster.environment.nowMs).toBeLessThanOrEqual(1_250);
  });

  it('is found although calls once passed it by, because it was silent', async () => {
    const nodes = new Nodes();
    const { cluster } = nodes;
    const router = nodes.router(2);
    await nodes.time(router.count('docs', options));
    // Nodes 1 and 3 are silent one after the other, each while it leads.
    for (const { leader, next } of [
      { leader: 1, next: 3 },
      { leader: 3, next: 1 },
    ]) {
      cluster.replica(0, leader).stop();
      cluster.shard(0).elect(next);
      await nodes.time(router.count('docs', options));
      cluster.replica(0, leader).heal();
    }
    nodes.cut(1, 2, 'break');
    cluster.replica(0, 2).faults = [{ reject: 'NO_LEADER' }];
    const { tookMs } = await nodes.time(router.count('docs', options));
    expect(tookMs).toBeLessThanOrEqual(1_000);
  });
});
