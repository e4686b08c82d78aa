// Goal: each read of a replica is as fresh as it asked to be, or refused so that another is asked.
// Method: a group whose rounds and applies end by hand, in virtual time; real ones at the end.
import { describe, expect, it } from 'vitest';
import type { CommandResult, Engine } from '../../../src/engine/engine.js';
import { ConsistentReads, type ReadableGroup } from '../../../src/replica/consistent-reads.js';
import { LocalReplica } from '../../../src/replica/local-replica.js';
import type { ReadAnswer } from '../../../src/replica/replica.js';
import type { ShardConsistency } from '../../../src/shared/consistency.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode } from './toy-cluster.js';

const DRIFT = 1.05;
const DEADLINE = { timeoutMs: 20_000 };

interface Gate {
  readonly promise: Promise<void>;
  open(): void;
  fail(error: FlotillaError): void;
}

function gate(): Gate {
  let open: () => void = () => undefined;
  let fail: (error: FlotillaError) => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    [open, fail] = [resolve, reject];
  });
  return { promise, open, fail };
}

/** A replica of a log of which 10 entries are applied, 12 committed here, and 20 at the leader. */
class HandGroup implements ReadableGroup {
  isLeader = false;
  term = 1;
  appliedIndex = 10;
  commitIndex = 12;
  leasedIndex: number | undefined;
  absence: string | undefined;
  /** Rounds that were asked for, in order. */
  readonly rounds: (Gate & { readonly place: string })[] = [];
  readonly applies: (Gate & { readonly index: number })[] = [];

  readBarrier(place: 'leader' | 'anywhere' = 'leader'): Promise<void> {
    if (place === 'leader' && !this.isLeader) {
      throw new FlotillaError('NOT_LEADER', 'node 2 leads', { details: { leaderNodeId: '2' } });
    }
    const round = { ...gate(), place };
    this.rounds.push(round);
    return round.promise;
  }

  waitApplied(index: number): Promise<void> {
    const apply = { ...gate(), index };
    this.applies.push(apply);
    return apply.promise;
  }
}

function harness() {
  const environment = new VirtualEnvironment();
  let wallJumpMs = 0;
  const group = new HandGroup();
  const engine = { reads: 0, gate: undefined as Gate | undefined, fails: [] as ErrorReason[] };
  const { scheduler } = environment;
  const clock = {
    monotonicMs: () => environment.clock.monotonicMs(),
    wallMs: () => environment.clock.wallMs() + wallJumpMs,
  };
  const reads = new ConsistentReads({ group, clock, scheduler, reachedIndex: () => 11 });
  const carryOut = async (): Promise<string> => {
    engine.reads += 1;
    const reason = engine.fails.shift();
    if (reason !== undefined) throw new FlotillaError(reason, 'as the test says');
    await engine.gate?.promise;
    return 'read';
  };
  const read = (consistency: ShardConsistency): Promise<ReadAnswer<string>> =>
    reads.read(carryOut, consistency, DEADLINE);
  const settle = <T>(work: Promise<T>): Promise<T> => environment.settle(work);
  /** A bounded read that is answered by a round of its own. */
  const confirm = async (): Promise<void> => {
    const work = read({ boundedMs: 1 });
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await settle(work);
  };
  const jumpWall = (byMs: number): void => {
    wallJumpMs += byMs;
  };
  return { environment, group, engine, read, settle, confirm, jumpWall };
}

const reasonOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'an answer',
    ({ reason }: FlotillaError) => reason,
  );

describe('a bounded read', () => {
  it('is answered at once while the newest mark is within the bound (R11)', async () => {
    const { environment, group, read, settle, confirm } = harness();
    await confirm();
    await environment.advance(100);
    const answer = await settle(read({ boundedMs: 105 }));
    expect(answer).toEqual({ value: 'read', state: { appliedIndex: 11, ageMs: 100 * DRIFT } });
    expect(group.rounds).toHaveLength(1);
  });

  it('asks for a new mark where the drift of clocks may have taken it over the bound', async () => {
    const { environment, group, read, confirm } = harness();
    await confirm();
    await environment.advance(100);
    void read({ boundedMs: 104 });
    await environment.advance(0);
    expect(group.rounds.map(({ place }) => place)).toEqual(['anywhere', 'anywhere']);
  });

  it('counts the age from the question, however late its answer comes (R11)', async () => {
    const { environment, group, engine, read, settle } = harness();
    const work = read({ boundedMs: 300 });
    await environment.advance(400);
    group.rounds[0]?.open();
    await environment.advance(0);
    expect(engine.reads).toBe(0);
    expect(group.rounds).toHaveLength(2);
    await environment.advance(40);
    group.rounds[1]?.open();
    expect((await settle(work)).state?.ageMs).toBeCloseTo(40 * DRIFT);
  });

  it('looks at the age again when the engine has answered (R12)', async () => {
    const { environment, group, engine, read, settle, confirm } = harness();
    await confirm();
    engine.gate = gate();
    const work = read({ boundedMs: 50 });
    await environment.advance(60);
    expect(engine.reads).toBe(2);
    engine.gate.open();
    engine.gate = undefined;
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    expect((await settle(work)).state?.ageMs).toBeLessThanOrEqual(50);
    expect(engine.reads).toBe(3);
  });

  it('takes the mark from before the read, not one that came meanwhile (R12)', async () => {
    const { environment, group, engine, read, settle, confirm } = harness();
    await confirm();
    engine.gate = gate();
    const work = read({ boundedMs: 50 });
    await environment.advance(60);
    const other = read({ boundedMs: 1 });
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await environment.advance(0);
    engine.gate.open();
    await settle(other);
    await settle(work);
    // What was read 60 ms ago does not become young by a mark of now.
    expect(engine.reads).toBe(4);
  });

  it('shares a round with all that wait for one', async () => {
    const { environment, group, read, settle } = harness();
    const works = [200, 100, 50].map((boundedMs) => read({ boundedMs }));
    await environment.advance(10);
    const late = read({ boundedMs: 100 });
    await environment.advance(0);
    expect(group.rounds).toHaveLength(1);
    group.rounds[0]?.open();
    for (const work of [...works, late]) expect((await settle(work)).value).toBe('read');
  });

  it('gives up after three turns where the engine is slower than the bound', async () => {
    const { environment, group, engine, read } = harness();
    const work = reasonOf(read({ boundedMs: 10 }));
    for (let turn = 0; turn < 3; turn++) {
      engine.gate = gate();
      await environment.advance(0);
      group.rounds[turn]?.open();
      await environment.advance(20);
      engine.gate.open();
      await environment.advance(0);
    }
    expect(await work).toBe('REPLICA_BEHIND');
    expect(engine.reads).toBe(3);
  });

  it('is refused in time for another replica to be asked, and goes on at a leader', async () => {
    const { environment, group, read } = harness();
    const work = reasonOf(read({ boundedMs: 500 }));
    await environment.advance(1_001);
    expect(await work).toBe('REPLICA_BEHIND');
    group.isLeader = true;
    const led = read({ boundedMs: 5_000 });
    await environment.advance(3_000);
    group.rounds.at(-1)?.open();
    expect((await environment.settle(led)).value).toBe('read');
  });

  it('tells the error of a round that failed to all that waited for it', async () => {
    const { environment, group, read } = harness();
    const works = [read({ boundedMs: 5 }), read({ boundedMs: 5 })].map(reasonOf);
    await environment.advance(0);
    group.rounds[0]?.fail(new FlotillaError('NO_LEADER', 'the leader is gone'));
    expect(await Promise.all(works)).toEqual(['NO_LEADER', 'NO_LEADER']);
    // The next one asks anew.
    void reasonOf(read({ boundedMs: 5 }));
    await environment.advance(0);
    expect(group.rounds).toHaveLength(2);
  });

  it('takes a lease for a mark of the moment at which it is held (R6)', async () => {
    const { environment, group, read } = harness();
    group.isLeader = true;
    group.leasedIndex = 12;
    const work = read({ boundedMs: 100 });
    await environment.advance(7);
    expect(group.rounds).toEqual([]);
    expect(group.applies.map(({ index }) => index)).toEqual([12]);
    group.applies[0]?.open();
    expect((await environment.settle(work)).state?.ageMs).toBeCloseTo(7 * DRIFT);
  });
});

describe('the clocks of a mark', () => {
  it('make it older when the wall clock has gone on without the other (R11)', async () => {
    const { environment, group, read, confirm, jumpWall } = harness();
    await confirm();
    jumpWall(10_000);
    void read({ boundedMs: 5_000 });
    await environment.advance(0);
    expect(group.rounds).toHaveLength(2);
  });

  it('do not make it younger when somebody sets the wall clock back', async () => {
    const { environment, group, read, confirm, jumpWall } = harness();
    await confirm();
    jumpWall(-10_000);
    await environment.advance(300);
    void read({ boundedMs: 200 });
    await environment.advance(0);
    expect(group.rounds).toHaveLength(2);
  });
});

describe('a session read', () => {
  it('is answered at once where all is applied that the session has seen (R13)', async () => {
    const { group, read, settle } = harness();
    expect(await settle(read({ minIndex: 10 }))).toEqual({
      value: 'read',
      state: { appliedIndex: 11 },
    });
    expect([group.rounds, group.applies]).toEqual([[], []]);
  });

  it('waits until what is committed here is applied', async () => {
    const { environment, group, engine, read, settle } = harness();
    const work = read({ minIndex: 12 });
    await environment.advance(5);
    expect(engine.reads).toBe(0);
    expect(group.applies.map(({ index }) => index)).toEqual([12]);
    group.appliedIndex = 12;
    group.applies[0]?.open();
    expect((await settle(work)).value).toBe('read');
  });

  it('asks the leader whether what is not committed here exists (R14)', async () => {
    const { environment, group, engine, read, settle } = harness();
    const work = read({ minIndex: 15 });
    await environment.advance(5);
    expect(group.rounds.map(({ place }) => place)).toEqual(['anywhere']);
    group.appliedIndex = 20;
    group.rounds[0]?.open();
    expect((await settle(work)).value).toBe('read');
    expect(engine.reads).toBe(1);
  });

  it('refuses an index that the log never had, and waits for none of them (R14)', async () => {
    const { environment, group, engine, read } = harness();
    const work = read({ minIndex: 21 });
    await environment.advance(5);
    group.appliedIndex = 20;
    group.rounds[0]?.open();
    await expect(work).rejects.toMatchObject({ reason: 'INVALID_REQUEST', field: 'session' });
    expect(group.applies).toEqual([]);
    expect(engine.reads).toBe(0);
  });

  it('is refused by a follower that stays behind, so that another is asked', async () => {
    const { environment, read } = harness();
    const work = reasonOf(read({ minIndex: 12 }));
    await environment.advance(1_001);
    expect(await work).toBe('REPLICA_BEHIND');
  });
});

describe('an eventual read', () => {
  it('asks nobody, and tells its age as soon as that is known', async () => {
    const { environment, group, read, settle } = harness();
    expect((await settle(read('eventual'))).state).toEqual({ appliedIndex: 11 });
    // One round for the age, which nobody waits for; not one a read.
    await settle(read('eventual'));
    expect(group.rounds).toHaveLength(1);
    group.rounds[0]?.open();
    await environment.advance(100);
    expect((await settle(read('eventual'))).state?.ageMs).toBeCloseTo(100 * DRIFT);
    await environment.advance(1_000);
    await settle(read('eventual'));
    expect(group.rounds).toHaveLength(2);
  });

  it('is answered by a replica that reaches no leader', async () => {
    const { group, read, settle } = harness();
    group.readBarrier = () => {
      throw new FlotillaError('NO_LEADER', 'nobody leads');
    };
    expect((await settle(read('eventual'))).value).toBe('read');
  });

  it('is refused by a replica that takes no part, whatever it holds (R16)', async () => {
    const { group, engine, read } = harness();
    group.absence = 'a snapshot is about to replace its state';
    for (const level of ['eventual', { boundedMs: 9 }, { minIndex: 1 }] as const) {
      expect(await reasonOf(read(level))).toBe('REPLICA_BEHIND');
    }
    expect(engine.reads).toBe(0);
  });

  it.each(['COLLECTION_NOT_FOUND', 'STALE_TOPOLOGY'] as const)(
    'leaves it to the leader to say %s: a follower may not have heard yet',
    async (reason) => {
      const { environment, group, engine, read, settle } = harness();
      engine.fails = [reason];
      await expect(settle(read('eventual'))).rejects.toMatchObject({
        reason: 'NOT_LEADER',
        body: { details: { leaderNodeId: '2' } },
      });
      group.isLeader = true;
      engine.fails = [reason, reason];
      const led = read('eventual');
      await environment.advance(0);
      expect(group.rounds.at(-1)?.place).toBe('leader');
      group.rounds.at(-1)?.open();
      await expect(led).rejects.toMatchObject({ reason });
    },
  );
});

describe('strong reads', () => {
  it('are refused by followers, and leave marks for others', async () => {
    const { environment, group, read, settle } = harness();
    expect(await reasonOf(read('strong'))).toBe('NOT_LEADER');
    group.isLeader = true;
    const work = read('strong');
    await environment.advance(20);
    group.rounds[0]?.open();
    expect((await settle(work)).state?.ageMs).toBeCloseTo(20 * DRIFT);
    await settle(read({ boundedMs: 50 }));
    expect(group.rounds).toHaveLength(1);
  });
});

describe('a replica of a real group', () => {
  const SCOPE = { collectionId: 1, ownershipVersion: 1 };

  async function replicaOf(cluster: ToyCluster, node: ToyNode): Promise<LocalReplica> {
    const group = node.group();
    const host = { addGroup: async () => group } as unknown as ToyNode['running']['host'];
    const engine = { count: async () => node.items().length };
    return LocalReplica.open({
      shardId: 1,
      nodeId: node.nodeId,
      genesis: cluster.genesis(1, node.nodeId),
      engine: engine as unknown as Engine & { apply(): Promise<CommandResult[]> },
      host,
      logStore: node.running.logStore,
      environment: cluster.environment,
    });
  }

  async function follower(cluster: ToyCluster): Promise<{ node: ToyNode; replica: LocalReplica }> {
    const leader = await cluster.electedLeader();
    const [node] = cluster.nodes.filter((one) => one !== leader) as [ToyNode];
    return { node, replica: await replicaOf(cluster, node) };
  }

  const count = (replica: LocalReplica, consistency: ShardConsistency) =>
    replica.count(SCOPE, {}, { epoch: 1, timeoutMs: 10_000, consistency });

  it('serves what is bounded as a follower, and sees all that was acknowledged (P-4)', async () => {
    const cluster = await ToyCluster.start();
    await cluster.write('a');
    const { replica } = await follower(cluster);
    await cluster.write('b');
    // No mark is older than the write: a bound of nothing but the way to the leader and back.
    const answer = await cluster.environment.settle(count(replica, { boundedMs: 10 }));
    expect(answer.value).toBe(2);
    expect(answer.state?.ageMs).toBeLessThanOrEqual(10);
    await cluster.close();
  });

  it('serves what is eventual while it is cut off, and nothing that is bounded', async () => {
    const cluster = await ToyCluster.start();
    await cluster.write('a');
    await cluster.converged();
    const { node, replica } = await follower(cluster);
    await cluster.environment.settle(count(replica, { boundedMs: 1_000 }));
    cluster.isolate(node.nodeId);
    await cluster.write('b');
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    const answer = await cluster.environment.settle(count(replica, 'eventual'));
    expect(answer.value).toBe(1);
    expect(answer.state?.ageMs).toBeGreaterThan(5 * ELECTION_TIMEOUT_MS);
    const bounded = cluster.environment.settle(reasonOf(count(replica, { boundedMs: 1_000 })));
    expect(['NO_LEADER', 'REPLICA_BEHIND']).toContain(await bounded);
    await cluster.close();
  });

  it('serves nothing without its leader as long as it does not vote (R16)', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
    await cluster.write('a');
    const [, , , outsider] = cluster.nodes as [ToyNode, ToyNode, ToyNode, ToyNode];
    const replica = await replicaOf(cluster, outsider);
    expect(await reasonOf(count(replica, 'eventual'))).toBe('REPLICA_BEHIND');
    await cluster.close();
  });
});
