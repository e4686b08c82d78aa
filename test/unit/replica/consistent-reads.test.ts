// Goal: each read of a replica is as fresh as it asked to be, or refused so that another is asked.
// Method: a group whose rounds and applies end by hand, in virtual time; real ones at the end.
import { describe, expect, it } from 'vitest';
import type { CommandResult, Engine } from '../../../src/engine/engine.js';
import { ConsistentReads, type ReadableGroup } from '../../../src/replica/consistent-reads.js';
import { LocalReplica } from '../../../src/replica/local-replica.js';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import type { ReadAnswer } from '../../../src/replica/replica.js';
import { defined } from '../../../src/shared/assert.js';
import { type ShardConsistency, TOO_SLOW } from '../../../src/shared/consistency.js';
import type { Deadline } from '../../../src/shared/deadline.js';
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
  /** Waits that nobody has given up, of both kinds. */
  waiting = 0;

  readBarrier(place: 'leader' | 'anywhere' = 'leader', givenUp?: AbortSignal): Promise<void> {
    if (place === 'leader' && !this.isLeader) {
      throw new FlotillaError('NOT_LEADER', 'node 2 leads', { details: { leaderNodeId: '2' } });
    }
    const round = { ...gate(), place };
    this.rounds.push(round);
    return this.#wait(round, givenUp);
  }

  waitApplied(index: number, givenUp?: AbortSignal): Promise<void> {
    const apply = { ...gate(), index };
    this.applies.push(apply);
    return this.#wait(apply, givenUp);
  }

  #wait({ promise, fail }: Gate, givenUp: AbortSignal | undefined): Promise<void> {
    this.waiting += 1;
    givenUp?.addEventListener('abort', () => {
      this.waiting -= 1;
      fail(new FlotillaError('CANCELLED', 'given up'));
    });
    return promise;
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
  const read = (
    consistency: ShardConsistency,
    deadline: Deadline = DEADLINE,
  ): Promise<ReadAnswer<string>> => reads.read(carryOut, consistency, deadline);
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
  const confirmed = (): number => reads.confirmed;
  return { environment, group, engine, read, settle, confirm, confirmed, jumpWall };
}

const bodyOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'an answer',
    ({ body }: FlotillaError) => body,
  );

const reasonOf = (work: Promise<unknown>): Promise<unknown> =>
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
    await environment.advance(30);
    engine.gate = gate();
    const work = read({ boundedMs: 50 });
    await environment.advance(30);
    expect(engine.reads).toBe(2);
    engine.gate.open();
    engine.gate = undefined;
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    expect((await settle(work)).state?.ageMs).toBeLessThanOrEqual(50);
    expect(engine.reads).toBe(3);
  });

  it('begins its second turn with a state so young that the same time will do', async () => {
    const { environment, group, engine, read, confirm } = harness();
    await confirm();
    await environment.advance(70);
    engine.gate = gate();
    const work = read({ boundedMs: 100 });
    await environment.advance(30);
    // Another read gets a mark that is within the bound when this one is done, after 80 ms.
    const other = read({ boundedMs: 100 });
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await environment.advance(50);
    engine.gate.open();
    engine.gate = undefined;
    await environment.advance(0);
    expect(group.rounds).toHaveLength(3);
    group.rounds.at(-1)?.open();
    await environment.settle(Promise.all([work, other]));
  });

  it('takes the mark from before the read, not one that came meanwhile (R12)', async () => {
    const { environment, group, engine, read, settle, confirm } = harness();
    await confirm();
    await environment.advance(30);
    engine.gate = gate();
    const work = read({ boundedMs: 50 });
    await environment.advance(30);
    const other = read({ boundedMs: 1 });
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await environment.advance(0);
    engine.gate.open();
    await settle(other);
    await settle(work);
    // What was read 60 ms after its mark does not become young by a mark of now.
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

  it('is carried out once where the engine itself is slower than the bound', async () => {
    const { environment, group, engine, read } = harness();
    const work = bodyOf(read({ boundedMs: 10 }));
    engine.gate = gate();
    await environment.advance(0);
    group.rounds[0]?.open();
    await environment.advance(20);
    engine.gate.open();
    expect(await work).toMatchObject({ reason: 'REPLICA_BEHIND', details: TOO_SLOW });
    expect([engine.reads, group.rounds.length]).toEqual([1, 1]);
  });

  it('is carried out twice at most', async () => {
    const { environment, group, engine, read, confirm } = harness();
    await confirm();
    await environment.advance(15);
    engine.gate = gate();
    const work = bodyOf(read({ boundedMs: 30 }));
    await environment.advance(20);
    engine.gate.open();
    engine.gate = gate();
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await environment.advance(29);
    engine.gate.open();
    expect(await work).toMatchObject({ reason: 'REPLICA_BEHIND', details: TOO_SLOW });
    expect(engine.reads).toBe(3);
  });

  it('is not carried out again where the rounds leave it too little of the bound', async () => {
    const { environment, group, engine, read } = harness();
    const work = bodyOf(read({ boundedMs: 30 }));
    engine.gate = gate();
    await environment.advance(10);
    group.rounds[0]?.open();
    await environment.advance(20);
    engine.gate.open();
    for (const turn of [1, 2]) {
      await environment.advance(10);
      group.rounds[turn]?.open();
    }
    expect(await work).toMatchObject({ reason: 'REPLICA_BEHIND', details: TOO_SLOW });
    expect([engine.reads, group.rounds.length]).toEqual([1, 3]);
  });

  it.each([
    ['its caller has given up', 'CANCELLED'],
    ['its deadline has passed', 'DEADLINE_EXCEEDED'],
  ] as const)('is not carried out again when %s', async (_when, reason) => {
    const { environment, group, engine, read, confirm } = harness();
    await confirm();
    await environment.advance(60);
    const caller = new AbortController();
    engine.gate = gate();
    const timeoutMs = reason === 'CANCELLED' ? 10_000 : 45;
    const work = reasonOf(read({ boundedMs: 100 }, { timeoutMs, signal: caller.signal }));
    await environment.advance(46);
    if (reason === 'CANCELLED') caller.abort();
    engine.gate.open();
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    expect(await work).toBe(reason);
    expect(engine.reads).toBe(2);
  });

  it('gives its waits up with itself, and the round with the last that waits for it', async () => {
    const { environment, group, read } = harness();
    const works = [read({ boundedMs: 5_000 }), read({ boundedMs: 5_000 })].map(reasonOf);
    const patient = reasonOf(read({ boundedMs: 5_000 }, { timeoutMs: 2_000 }));
    await environment.advance(600);
    expect(await patient).toBe('REPLICA_BEHIND');
    expect(group.waiting).toBe(1);
    await environment.advance(500);
    expect(await Promise.all(works)).toEqual(['REPLICA_BEHIND', 'REPLICA_BEHIND']);
    expect(group.waiting).toBe(0);
    // The next one asks anew.
    void reasonOf(read({ boundedMs: 5_000 }));
    await environment.advance(0);
    expect(group.rounds).toHaveLength(2);
  });

  it('has one patience for all of its waits', async () => {
    const { environment, group, read } = harness();
    const work = reasonOf(read({ boundedMs: 300 }));
    await environment.advance(700);
    group.rounds[0]?.open();
    await environment.advance(301);
    expect(await work).toBe('REPLICA_BEHIND');
  });

  it('goes to another replica where too many wait at this one', async () => {
    const { group, read, settle } = harness();
    group.readBarrier = async () => {
      throw new FlotillaError('TOO_MANY_REQUESTS', 'full');
    };
    expect(await settle(reasonOf(read({ boundedMs: 5 })))).toBe('REPLICA_BEHIND');
    expect(await settle(reasonOf(read({ minIndex: 15 })))).toBe('REPLICA_BEHIND');
    group.isLeader = true;
    expect(await settle(reasonOf(read({ boundedMs: 5 })))).toBe('TOO_MANY_REQUESTS');
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
    const { environment, group, read } = harness();
    const work = reasonOf(read({ minIndex: 12 }));
    await environment.advance(1_001);
    expect(await work).toBe('REPLICA_BEHIND');
    expect(group.waiting).toBe(0);
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

  it('has one round under way for the age, however long that takes', async () => {
    const { environment, group, read, settle } = harness();
    for (let second = 0; second < 100; second++) {
      await settle(read('eventual'));
      await environment.advance(1_000);
    }
    expect([group.rounds.length, group.waiting]).toEqual([1, 1]);
    group.rounds[0]?.open();
    await environment.advance(0);
    expect((await settle(read('eventual'))).state?.ageMs).toBeCloseTo(100_000 * DRIFT);
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

describe('a bounded read that the leader serves strongly', () => {
  it('is refused all the same where the engine took longer than the bound (R12)', async () => {
    const { environment, group, engine, read, confirm } = harness();
    await confirm();
    group.isLeader = true;
    engine.fails = ['STALE_TOPOLOGY'];
    engine.gate = gate();
    const work = bodyOf(read({ boundedMs: 100 }));
    await environment.advance(0);
    group.rounds.at(-1)?.open();
    await environment.advance(120);
    engine.gate.open();
    expect(await work).toMatchObject({ reason: 'REPLICA_BEHIND', details: TOO_SLOW });
  });
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

  it('are counted when a majority has confirmed them, others are not (R1, R6)', async () => {
    const { environment, group, read, settle, confirmed } = harness();
    group.isLeader = true;
    group.leasedIndex = 12;
    const leased = read('leased');
    await environment.advance(0);
    group.applies[0]?.open();
    await settle(leased);
    await settle(read('eventual'));
    expect(confirmed()).toBe(0);
    // Without a lease a leased read is a strong one.
    group.leasedIndex = undefined;
    const both = Promise.all([read('strong'), read('leased')]);
    await environment.advance(0);
    expect(confirmed()).toBe(0);
    for (const round of group.rounds) round.open();
    await settle(both);
    expect(confirmed()).toBe(2);
    const failing = reasonOf(read('strong'));
    await environment.advance(0);
    group.rounds.at(-1)?.fail(new FlotillaError('NO_LEADER', 'the leader is gone'));
    expect([await failing, confirmed()]).toEqual(['NO_LEADER', 2]);
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

  it('serves nothing without its leader until a snapshot is installed (R16)', async () => {
    const compaction = { ...COMPACTION_DEFAULTS, thresholdEntries: 20, trailingEntries: 5 };
    const cluster = await ToyCluster.start({ compaction });
    await cluster.write('first');
    await cluster.converged();
    const { node, replica } = await follower(cluster);
    const settle = <T>(work: Promise<T>): Promise<T> => cluster.environment.settle(work);
    const machine = node.machine();
    const install = machine.installSnapshot.bind(machine);
    const installing = gate();
    let isInstalling = false;
    machine.installSnapshot = async (path) => {
      isInstalling = true;
      await installing.promise;
      return install(path);
    };
    cluster.isolate(node.nodeId);
    for (let at = 0; at < 60; at++) await cluster.write(`w ${at}`);
    expect((await settle(count(replica, 'eventual'))).value).toBe(1);
    cluster.heal();
    await cluster.until('the snapshot is being installed', () => isInstalling);
    for (const level of ['eventual', { minIndex: 1 }, { boundedMs: 60_000 }] as const) {
      expect(await settle(reasonOf(count(replica, level)))).toBe('REPLICA_BEHIND');
    }
    installing.open();
    await cluster.converged();
    expect((await settle(count(replica, 'eventual'))).value).toBe(61);
    await cluster.close();
  });

  it('serves nothing without its leader while its state is made again (R16)', async () => {
    const cluster = await ToyCluster.start();
    for (let at = 0; at < 10; at++) await cluster.write(`w ${at}`);
    await cluster.converged();
    const { node } = await follower(cluster);
    await cluster.stop(node.nodeId);
    const content = defined(node.contents.get(1), 'the content');
    content.batches = content.batches.slice(0, 3);
    await cluster.boot(node.nodeId);
    const applying = gate();
    node.machine().gate = applying.promise;
    const replica = await replicaOf(cluster, node);
    const { environment } = cluster;
    expect(await environment.settle(reasonOf(count(replica, 'eventual')))).toBe('REPLICA_BEHIND');
    node.machine().gate = undefined;
    applying.open();
    await cluster.converged();
    expect((await environment.settle(count(replica, 'eventual'))).value).toBe(10);
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
