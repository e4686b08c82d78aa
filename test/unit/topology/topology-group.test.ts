// Goal: a topology change or refresh goes to the leader from any node, and applies once.
// Method: three groups in virtual time; lost answers, cut nodes, malformed calls.
import { describe, expect, it } from 'vitest';
import type { RaftGroup } from '../../../src/replica/group.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { TopologyCommand } from '../../../src/topology/document.js';
import { TopologyGroup } from '../../../src/topology/topology-group.js';
import type { TopologyResult } from '../../../src/topology/transitions.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { TopologyCluster } from './topology-cluster.js';
import { config, genesis } from './topology-fixtures.js';

const SOON = { timeoutMs: 5_000 };

const create = (name: string): TopologyCommand => ({
  kind: 'beginCreateCollection',
  config: config(name),
});

describe('propose', () => {
  it('changes the document from whichever node it is asked of', async () => {
    const cluster = await TopologyCluster.start();
    await cluster.follower();
    for (const { nodeId, topology, view } of cluster.nodes) {
      const result = await cluster.environment.settle(topology.propose(create(`c${nodeId}`), SOON));
      expect(result).toMatchObject({ kind: 'ok', collection: { state: 'creating' } });
      await cluster.environment.settle(topology.refresh(SOON));
      expect(view.current()?.collections.at(-1)?.config.name).toBe(`c${nodeId}`);
    }
    expect((await cluster.leader()).view.current()?.epoch).toBe(genesis().epoch + 3);
    await cluster.close();
  });

  it('hands a refusal back as a result', async () => {
    const cluster = await TopologyCluster.start();
    const { topology } = await cluster.follower();
    const drop = topology.propose({ kind: 'beginDropCollection', collectionId: 9 }, SOON);
    expect(await cluster.environment.settle(drop)).toMatchObject({
      kind: 'refused',
      error: { reason: 'COLLECTION_NOT_FOUND' },
    });
    await cluster.close();
  });

  it('is tried again after a lost answer, and applies once (P-2)', async () => {
    const cluster = await TopologyCluster.start();
    const { topology, view } = await cluster.follower();
    let lost = 0;
    cluster.onAnswer = (answer) => {
      if (lost++ > 0) return answer;
      throw new FlotillaError('OUTCOME_UNKNOWN', 'the link broke');
    };
    const result = await cluster.environment.settle(topology.propose(create('once'), SOON));
    expect(result).toMatchObject({ kind: 'ok', collection: { collectionId: 1 } });
    expect(lost).toBe(2);
    await cluster.environment.settle(topology.refresh(SOON));
    expect(view.current()?.collections).toHaveLength(1);
    expect(view.current()?.nextCollectionId).toBe(2);
    await cluster.close();
  });

  it('follows the leadership to another node', async () => {
    const cluster = await TopologyCluster.start();
    const old = await cluster.leader();
    const asked = await cluster.follower();
    cluster.isolate(old.nodeId);
    const change = asked.topology.propose(create('moved'), { timeoutMs: 20_000 });
    expect(await cluster.environment.settle(change)).toMatchObject({ kind: 'ok' });
    expect((await cluster.leader()).nodeId).not.toBe(old.nodeId);
    cluster.heal();
    await cluster.environment.settle(old.topology.refresh({ timeoutMs: 20_000 }));
    expect(old.view.current()?.collections).toHaveLength(1);
    await cluster.close();
  });

  it('of a leader that is cut off ends in time, and is not applied later', async () => {
    const cluster = await TopologyCluster.start();
    const old = await cluster.leader();
    cluster.isolate(old.nodeId);
    const startMs = cluster.environment.nowMs;
    const change = old.topology.propose(create('lost'), { timeoutMs: 4_000 });
    await expect(cluster.environment.settle(change)).rejects.toMatchObject({ retryable: true });
    expect(cluster.environment.nowMs - startMs).toBeLessThanOrEqual(4_000);
    const { topology } = await cluster.leader();
    const newer = topology.propose(create('newer'), { timeoutMs: 20_000 });
    await cluster.environment.settle(newer);
    cluster.heal();
    await cluster.environment.settle(old.topology.refresh({ timeoutMs: 20_000 }));
    expect(old.view.current()?.collections.map((one) => one.config.name)).toEqual(['newer']);
    await cluster.close();
  });

  it('without a leader ends with NO_LEADER in time, and at once when cancelled', async () => {
    const cluster = await TopologyCluster.start();
    for (const { nodeId } of cluster.nodes) cluster.isolate(nodeId);
    const { topology } = cluster.node(1);
    const change = topology.propose(create('x'), { timeoutMs: 3_000 });
    await expect(cluster.environment.settle(change)).rejects.toMatchObject({
      reason: 'NO_LEADER',
      outcome: 'not-applied',
    });
    const startMs = cluster.environment.nowMs;
    const abort = new AbortController();
    const given = topology.refresh({ timeoutMs: 60_000, signal: abort.signal });
    abort.abort();
    await expect(cluster.environment.settle(given)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(cluster.environment.nowMs - startMs).toBeLessThan(1_000);
    await cluster.close();
  });

  it('waits from nothing up to a bound that doubles before it asks again (D2)', async () => {
    const environment = new VirtualEnvironment();
    environment.random.next = () => 0.999_999;
    const askedAtMs: number[] = [];
    const group: Partial<RaftGroup<TopologyResult>> = {
      get leaderNodeId() {
        askedAtMs.push(Math.round(environment.nowMs));
        return 0;
      },
    };
    const topology = new TopologyGroup({
      group: group as RaftGroup<TopologyResult>,
      nodeId: 1,
      transport: { request: () => Promise.reject(new Error('nobody is asked')) },
      environment,
    });
    const change = topology.propose(create('x'), { timeoutMs: 650 });
    await expect(environment.settle(change)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    expect(askedAtMs).toEqual([0, 20, 60, 140, 300, 500]);
  });

  it('gives up at once on what another attempt would not change', async () => {
    const cluster = await TopologyCluster.start();
    const { topology } = await cluster.follower();
    cluster.onAnswer = () => {
      throw new FlotillaError('UNSUPPORTED_VERSION', 'newer bytes');
    };
    const before = cluster.requests;
    const change = topology.propose(create('x'), SOON);
    await expect(cluster.environment.settle(change)).rejects.toMatchObject({
      reason: 'UNSUPPORTED_VERSION',
    });
    expect(cluster.requests).toBe(before + 1);
    await cluster.close();
  });
});

describe('a change (M-15)', () => {
  it('is pushed to the watchers of all nodes, whether they vote or learn, unasked', async () => {
    const cluster = await TopologyCluster.start([1, 2, 3, 4, 5], [4, 5]);
    const { topology } = await cluster.leader();
    const seen = cluster.nodes.map(({ view }) => {
      const epochs: number[] = [];
      view.onChange(({ epoch }) => epochs.push(epoch));
      return epochs;
    });
    for (const name of ['a', 'b', 'c']) {
      await cluster.environment.settle(topology.propose(create(name), SOON));
      await cluster.environment.advance(100);
    }
    const { epoch } = genesis();
    for (const epochs of seen) expect(epochs).toEqual([epoch + 1, epoch + 2, epoch + 3]);
    expect(cluster.requests).toBe(0);
    await cluster.close();
  });
});

describe('refresh', () => {
  it('shows all changes that were complete before it, on every node (P-4)', async () => {
    const cluster = await TopologyCluster.start();
    const { topology } = await cluster.leader();
    await cluster.follower();
    for (let at = 0; at < 10; at++) {
      await cluster.environment.settle(topology.propose(create(`c${at}`), SOON));
      const asked = cluster.nodes[at % 3];
      await cluster.environment.settle(asked?.topology.refresh(SOON) ?? Promise.resolve());
      expect(asked?.view.current()?.collections).toHaveLength(at + 1);
    }
    await cluster.close();
  });

  it('at a leader that is cut off shows nothing as new (P-5)', async () => {
    const cluster = await TopologyCluster.start();
    const old = await cluster.leader();
    cluster.isolate(old.nodeId);
    const refreshed = old.topology.refresh({ timeoutMs: 4_000 });
    await expect(cluster.environment.settle(refreshed)).rejects.toMatchObject({ retryable: true });
    await cluster.close();
  });
});

describe('serve', () => {
  it('refuses calls of another service, format or method', async () => {
    const cluster = await TopologyCluster.start();
    const { topology } = await cluster.leader();
    for (const head of [
      [9, 1, 1, 0],
      [2, 9, 1, 0],
    ]) {
      expect(() => topology.serve(Uint8Array.from(head), SOON)).toThrow(MalformedBytesError);
    }
    const unknownMethod = topology.serve(Uint8Array.from([2, 1, 9, 0]), SOON);
    await expect(unknownMethod).rejects.toThrow(MalformedBytesError);
    await cluster.close();
  });

  it('answers NOT_LEADER with a hint where it does not lead', async () => {
    const cluster = await TopologyCluster.start();
    const leader = await cluster.leader();
    const { topology } = await cluster.follower();
    const call = topology.serve(Uint8Array.from([2, 1, 2, 0]), SOON);
    await expect(call).rejects.toMatchObject({
      reason: 'NOT_LEADER',
      body: { details: { leaderNodeId: String(leader.nodeId) } },
    });
    await cluster.close();
  });
});
