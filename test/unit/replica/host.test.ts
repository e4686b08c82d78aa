// Goal: a node's groups share one clock, one turn and one frame per peer, and survive its stalls.
// Method: hosts in virtual time whose event loops can be paused; frames are counted as they leave.
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import { defined } from '../../../src/shared/assert.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode, typesOf } from './toy-cluster.js';
import { ToyMachine } from './toy-machine.js';

const TICK_MS = ELECTION_TIMEOUT_MS / 10;
const HEARTBEAT_MS = 2 * TICK_MS;

const termOf = (node: ToyNode): number => node.group().status().hardState.term;

function followerOf(cluster: ToyCluster, leader: ToyNode): ToyNode {
  const others = cluster.alive.filter((node) => node !== leader);
  return defined(others[0], 'follower');
}

/** How many requests for votes the node has sent from now on. */
function countCampaigns(cluster: ToyCluster, node: ToyNode): () => number {
  let campaigns = 0;
  cluster.onSend = (from, _to, messages) => {
    const votes = typesOf(messages).filter((type) => /^Msg(Pre)?Vote$/.test(type));
    if (from === node.nodeId) campaigns += votes.length;
  };
  return () => campaigns;
}

async function stall(cluster: ToyCluster, node: ToyNode, durationMs: number): Promise<void> {
  node.running.scheduler.pause();
  await cluster.environment.advance(durationMs);
  node.running.scheduler.resume();
}

describe('a stalled event loop', () => {
  for (const durationMs of [300, 800, 3_000]) {
    it(`of ${durationMs} ms makes a follower start no election (S-50)`, async () => {
      const cluster = await ToyCluster.start();
      const leader = await cluster.electedLeader();
      await cluster.write('a');
      const term = termOf(leader);
      const follower = followerOf(cluster, leader);
      const campaigns = countCampaigns(cluster, follower);
      for (let at = 0; at < 15; at++) {
        await stall(cluster, follower, durationMs);
        // Too short for a heartbeat that is not already waiting.
        await cluster.environment.advance(5);
      }
      expect(campaigns()).toBe(0);
      expect(leader.group().isLeader).toBe(true);
      expect(termOf(leader)).toBe(term);
      await cluster.close();
    });
  }

  it('lets the heartbeats that wait be read before the tick (S-50)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const follower = followerOf(cluster, leader);
    const term = termOf(leader);
    const campaigns = countCampaigns(cluster, follower);
    // Ever nearer to an election, until it comes without a stall: one of the stalls before then
    // came when a single tick more would have started it.
    let silenceMs = ELECTION_TIMEOUT_MS / 2;
    for (; campaigns() === 0; silenceMs += TICK_MS / 2) {
      expect(termOf(leader)).toBe(term);
      cluster.cut(leader.nodeId, follower.nodeId, { oneWay: true });
      await cluster.environment.advance(silenceMs);
      if (campaigns() > 0) break;
      cluster.heal();
      await stall(cluster, follower, 4 * TICK_MS);
      await cluster.environment.advance(1);
      expect(campaigns()).toBe(0);
    }
    expect(silenceMs).toBeGreaterThan(ELECTION_TIMEOUT_MS - 2 * HEARTBEAT_MS);
    await cluster.close();
  });

  it('of a leader costs one clean failover and no stale read (S-50, P-5)', async () => {
    const cluster = await ToyCluster.start();
    const old = await cluster.electedLeader();
    await cluster.write('a');
    const term = termOf(old);
    old.running.scheduler.pause();
    await cluster.until('the others elect', () => {
      const leader = cluster.leader();
      return leader !== undefined && leader !== old && termOf(leader) > term;
    });
    await cluster.write('newer');
    await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);

    const newTerm = termOf(defined(cluster.leader(), 'new leader'));
    expect(old.group().isLeader).toBe(true);
    const read = old.group().readBarrier();
    const seen: string[] = [];
    read.then(
      () => seen.push(old.items().some(({ text }) => text === 'newer') ? 'fresh' : 'stale'),
      () => seen.push('refused'),
    );
    old.running.scheduler.resume();
    await cluster.until('the read is decided', () => seen.length > 0);
    expect(seen).toEqual(['refused']);
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    const leaders = cluster.alive.filter((node) => node.group().isLeader);
    expect(leaders).toHaveLength(1);
    expect(termOf(defined(leaders[0], 'leader'))).toBe(newTerm);
    expect(termOf(old)).toBe(newTerm);
    await cluster.close();
  });
});

describe('a host', () => {
  it('sends one frame a heartbeat to each peer, however many groups they share (G1)', async () => {
    const cluster = await ToyCluster.start({ groups: 20 });
    await cluster.until('all groups are led', () =>
      Array.from({ length: 20 }, (_, at) => cluster.leader(at + 1)).every((one) => one),
    );
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    const frames = new Map<string, number>();
    cluster.onSend = (from, to) => {
      const link = `${from}>${to}`;
      frames.set(link, (frames.get(link) ?? 0) + 1);
    };
    const heartbeats = 10;
    await cluster.environment.advance(heartbeats * HEARTBEAT_MS);
    // A tick and the answers to the peer's heartbeats, for each of them: far below one a group.
    const ticks = (heartbeats * HEARTBEAT_MS) / TICK_MS;
    for (const count of frames.values()) expect(count).toBeLessThanOrEqual(2 * ticks);
    expect(frames.size).toBeGreaterThan(0);
    await cluster.close();
  });

  it('tells its leaders of a link that broke: the follower is probed (L6)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    await cluster.converged();
    const follower = followerOf(cluster, leader);
    const stateOf = (): string | undefined =>
      leader
        .group()
        .status()
        .progress.find(({ id }) => id === follower.nodeId)?.state;
    expect(stateOf()).toBe('StateReplicate');
    leader.running.host.peerDown(follower.nodeId, 'other');
    expect(stateOf()).toBe('StateProbe');
    follower.running.host.peerDown(leader.nodeId, 'other');
    await cluster.environment.advance(2 * HEARTBEAT_MS);
    expect(stateOf()).toBe('StateReplicate');
    await cluster.close();
  });

  it('opens no group once it is closed, and ticks none', async () => {
    const cluster = await ToyCluster.start();
    const node = cluster.node(1);
    const { host, logStore } = node.running;
    await cluster.environment.settle(host.close());
    const late = { ...cluster.genesis(1, 1), groupId: 9 };
    await logStore.createGroup(late);
    const machine = new ToyMachine({ batches: [] }, () => 0);
    await expect(host.addGroup(late, machine)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    expect(machine.isClosed).toBe(true);
    let sent = 0;
    cluster.onSend = (from) => {
      if (from === 1) sent++;
    };
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    expect(sent).toBe(0);
  });

  it('closes every group although one cannot be closed', async () => {
    const cluster = await ToyCluster.start({ nodes: 1, groups: 2 });
    const node = await cluster.electedLeader(2);
    node.machine(1).close = () => Promise.reject(new Error('it does not close'));
    let open = (): void => undefined;
    node.machine(2).gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    void node.group(2).propose(Buffer.from('slow'));
    await cluster.environment.advance(TICK_MS);
    let isOver = false;
    const closed = node.running.host.close().finally(() => {
      isOver = true;
    });
    closed.catch(() => undefined);
    await cluster.environment.advance(TICK_MS);
    expect(isOver).toBe(false);
    open();
    await expect(closed).rejects.toThrow('it does not close');
    expect(node.machine(2).isClosed).toBe(true);
  });

  it('opens a group again that gives no vote while promises may be forgotten (R7)', async () => {
    const cluster = await ToyCluster.start({ leases: true });
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    await cluster.converged();
    const voter = followerOf(cluster, leader);
    const { host, logStore } = voter.running;
    // As in the first run of a node, when no earlier process can have promised anything.
    Object.assign(logStore, { identity: { ...logStore.identity, incarnation: 1 } });
    await cluster.environment.settle(host.closeGroup(1));
    const content = defined(voter.contents.get(1), 'content');
    const machine = new ToyMachine(content, () => logStore.reader(1).lastIndex(), voter.disk);
    await host.addGroup(cluster.genesis(1, voter.nodeId), machine, { leases: true });
    cluster.isolate(voter.nodeId);
    let votes = 0;
    cluster.onSend = (from, _to, messages) => {
      if (from !== voter.nodeId) return;
      votes += typesOf(messages).filter((type) => type === 'MsgVoteResp').length;
    };
    const asker = defined(
      cluster.nodes.find((node) => node !== leader && node !== voter),
      'asker',
    );
    const { index, logTerm } = { index: 1_000, logTerm: leader.group().term + 1 };
    const { storeId, incarnation } = asker.running.logStore.identity;
    const from = { clusterId: 'toy', nodeId: asker.nodeId, storeId, incarnation };
    const ask = (): void => {
      const ids = [asker.nodeId, voter.nodeId] as const;
      const message = createMessage('MsgVote', ...ids, logTerm, { index, logTerm });
      host.receive(from, [{ groupId: 1, message }]);
    };
    ask();
    await cluster.environment.advance(ELECTION_TIMEOUT_MS / 2);
    expect(votes).toBe(0);
    await cluster.close();
  });

  it("counts and tells the changes of a group's leader", async () => {
    const cluster = await ToyCluster.start();
    const first = await cluster.electedLeader();
    await cluster.write('a');
    const changes = (node: ToyNode): number => node.group().status().leaderChanges;
    expect(cluster.nodes.map(changes)).toEqual([1, 1, 1]);
    cluster.isolate(first.nodeId);
    await cluster.until('another leads', () => cluster.leader() !== first);
    await cluster.write('b');
    const others = cluster.nodes.filter((node) => node !== first);
    expect(others.map(changes)).toEqual([2, 2]);
    const second = await cluster.electedLeader();
    for (const { leadersTold } of others)
      expect(leadersTold).toEqual([first.nodeId, second.nodeId]);
    cluster.heal();
    await cluster.converged();
    expect(changes(first)).toBe(2);
    await cluster.close();
  });
});
