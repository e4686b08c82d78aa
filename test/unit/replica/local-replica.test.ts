// Goal: a local replica stamps versions that only grow, reads behind a barrier, and is never late.
// Method: one voter in virtual time over a memory log, and an engine that notes what it is asked.
import { describe, expect, it } from 'vitest';
import type {
  AppliedState,
  CommandResult,
  Engine,
  ExpiredRecords,
  ReadScope,
  SearchQuery,
  Selection,
} from '../../../src/engine/engine.js';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import type { ConfChange } from '../../../src/raft/types.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import { LocalReplica } from '../../../src/replica/local-replica.js';
import { encodeMembers } from '../../../src/replica/member-codec.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import { commandVersion, encodeCommand } from '../../../src/shared/codec/command.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { GroupGenesis } from '../../../src/storage/log-store.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const CONTEXT = { epoch: 1, timeoutMs: 1_000 };
const SCOPE = { collectionId: 1, ownershipVersion: 1 };

class NotingEngine implements Engine {
  readonly versions: bigint[] = [];
  readonly asked: string[] = [];
  /** Set by tests: what applies wait for. */
  gate: Promise<void> | undefined;
  /** Set by tests: what counts wait for. */
  readGate: Promise<void> | undefined;
  /** Of the last count or search. */
  givenUp: AbortSignal | undefined;
  statsError: Error | undefined;
  readError: FlotillaError | undefined;
  appliedIndex = 0;
  /** Of the state that it opens with. */
  lastVersion = 0n;

  async open(): Promise<AppliedState> {
    return { appliedIndex: 0, lastVersion: this.lastVersion };
  }

  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    await this.gate;
    this.appliedIndex = lastIndex;
    for (const { data } of entries) this.versions.push(commandVersion(data));
    const [expired] = this.due.splice(0);
    if (expired === undefined) return entries.map(() => ({ kind: 'done' }));
    return entries.map(() => ({ kind: 'expired', removed: expired.records.length }));
  }

  async search(
    _scope: ReadScope,
    _queries: readonly SearchQuery[],
    givenUp?: AbortSignal,
  ): Promise<[]> {
    this.givenUp = givenUp;
    if (this.readError !== undefined) throw this.readError;
    this.asked.push(`search at ${this.appliedIndex}`);
    return [];
  }

  async fetch(): Promise<[]> {
    this.asked.push(`fetch at ${this.appliedIndex}`);
    return [];
  }

  async count(_scope: ReadScope, _selection?: Selection, givenUp?: AbortSignal): Promise<number> {
    this.asked.push(`count at ${this.appliedIndex}`);
    this.givenUp = givenUp;
    await this.readGate;
    return 7;
  }

  async tenants(): Promise<[]> {
    return [];
  }

  async scroll(): Promise<{ records: [] }> {
    this.asked.push(`scroll at ${this.appliedIndex}`);
    return { records: [] };
  }

  explain(): Promise<never> {
    return Promise.reject(new Error('nothing is explained here'));
  }

  /** Records that have expired, until an entry is applied. */
  due: ExpiredRecords[] = [];

  async expired(): Promise<readonly ExpiredRecords[]> {
    return this.due;
  }

  async contents() {
    this.asked.push(`contents at ${this.appliedIndex}`);
    return { faults: [] };
  }

  async stats() {
    if (this.statsError !== undefined) throw this.statsError;
    return { appliedIndex: this.appliedIndex, ownershipVersion: 1, collections: [], sessions: 3 };
  }

  writeSnapshot(): Promise<never> {
    return Promise.reject(new Error('no snapshots here'));
  }

  installSnapshot(): Promise<never> {
    return Promise.reject(new Error('no snapshots here'));
  }

  async close(): Promise<void> {}
}

function genesisWith(voters: readonly number[]): GroupGenesis {
  return {
    groupId: 1,
    replicaId: 1,
    confState: {
      voters,
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
    members: voters.map((id) => ({ replicaId: id, nodeId: 10 * id, storeId: `store-${id}` })),
  };
}

interface Setup {
  readonly environment: VirtualEnvironment;
  readonly logStore: MemoryLogStore;
  readonly host: ReplicaHost;
  readonly engine: NotingEngine;
  readonly replica: LocalReplica;
  /** How many records were removed because they had expired, call by call. */
  readonly expired: number[];
}

async function open(
  environment = new VirtualEnvironment(),
  logStore = new MemoryLogStore(),
  voters = [1],
  onFault = (error: FlotillaError): unknown => {
    throw error;
  },
  lastVersion = 0n,
): Promise<Setup> {
  const genesis = genesisWith(voters);
  const host = new ReplicaHost({
    environment,
    logStore,
    timing: deriveTiming(1_000),
    logger: silentLogger,
    send: () => undefined,
    onFault: (_groupId, error) => onFault(error),
  });
  await logStore.createGroup(genesis);
  const engine = new NotingEngine();
  engine.lastVersion = lastVersion;
  const expired: number[] = [];
  const onExpired = (records: number): unknown => expired.push(records);
  const options = { shardId: 4, nodeId: 10, genesis, engine, host, logStore, environment };
  const replica = await LocalReplica.open({ ...options, onExpired });
  host.start();
  return { environment, logStore, host, engine, replica, expired };
}

async function elect({ environment, replica }: Setup): Promise<void> {
  for (let at = 0; !replica.isLeader && at < 100; at++) await environment.advance(100);
  expect(replica.isLeader).toBe(true);
}

const command = (): Uint8Array => encodeCommand({ kind: 'dropCollection', collectionId: 1 });

/** What is left of a replica that applied one command at `wallMs`, and the version that it got. */
async function stoppedAfterOne(
  wallMs: number,
): Promise<{ readonly logStore: MemoryLogStore; readonly before: bigint }> {
  const setup = await open(new VirtualEnvironment({ wallMs }));
  await elect(setup);
  await setup.environment.settle(setup.replica.propose([command()], CONTEXT));
  await setup.environment.settle(setup.host.close());
  await setup.logStore.close();
  return { logStore: setup.logStore, before: defined(setup.engine.versions[0], 'version') };
}

describe('proposals', () => {
  it('are stamped with versions that grow, also within a millisecond', async () => {
    const setup = await open();
    await elect(setup);
    const { environment, replica, engine } = setup;
    const answers = await environment.settle(
      replica.propose([command(), command(), command()], CONTEXT),
    );
    expect(answers.map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
    const [a, b, c] = engine.versions;
    expect(defined(a, 'a') < defined(b, 'b') && defined(b, 'b') < defined(c, 'c')).toBe(true);
    expect(Number(defined(a, 'a') >> 16n)).toBe(Math.floor(environment.clock.wallMs()));
  });

  it('go on above the log after a restart, though the wall clock went back', async () => {
    const { logStore, before } = await stoppedAfterOne(2_000_000_000_000);
    const earlier = new VirtualEnvironment({ wallMs: 1_000_000_000_000 });
    const again = await open(earlier, logStore.reopen());
    await elect(again);
    await earlier.settle(again.replica.propose([command()], CONTEXT));
    const versions = again.engine.versions;
    expect(versions).toHaveLength(2);
    expect(defined(versions.at(-1), 'version') > before).toBe(true);
  });

  it('go on above a log that ends with a change of the configuration', async () => {
    const { logStore, before } = await stoppedAfterOne(2_000_000_000_000);
    const store = logStore.reopen();
    const last = store.reader(1).lastIndex();
    const change: ConfChange = {
      transition: 'auto',
      changes: [{ kind: 'update', replicaId: 1 }],
      context: encodeMembers([]),
    };
    await store.write({
      groupId: 1,
      entries: [
        {
          type: 'EntryConfChangeV2',
          term: store.reader(1).term(last),
          index: last + 1,
          data: encodeConfChange(change),
        },
      ],
      mustSync: true,
    });
    const earlier = new VirtualEnvironment({ wallMs: 1_000_000_000_000 });
    const again = await open(earlier, store);
    await elect(again);
    await earlier.settle(again.replica.propose([command()], CONTEXT));
    expect(defined(again.engine.versions.at(-1), 'version') > before).toBe(true);
  });

  it('go on above the state where a snapshot has taken the place of the log', async () => {
    const environment = new VirtualEnvironment({ wallMs: 1_000_000_000_000 });
    const applied = BigInt(2_000_000_000_000) << 16n;
    const setup = await open(environment, undefined, undefined, undefined, applied);
    await elect(setup);
    await environment.settle(setup.replica.propose([command()], CONTEXT));
    expect(defined(setup.engine.versions[0], 'version') > applied).toBe(true);
  });

  it('are refused as a whole by a replica that does not lead', async () => {
    const { replica } = await open();
    await expect(replica.propose([command(), command()], CONTEXT)).rejects.toMatchObject({
      reason: 'NO_LEADER',
      outcome: 'not-applied',
    });
  });

  it('keep the version that they brought where they are refused (O6)', async () => {
    const { replica } = await open();
    const bytes = command();
    const before = commandVersion(bytes);
    await expect(replica.propose([bytes], CONTEXT)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    expect(commandVersion(bytes)).toBe(before);
  });

  it('are unknown when they are not applied in time (A8)', async () => {
    const setup = await open();
    await elect(setup);
    setup.engine.gate = new Promise(() => undefined);
    const answer = setup.replica.propose([command()], { epoch: 1, timeoutMs: 300 });
    expect(await setup.environment.settle(answer)).toMatchObject([
      { kind: 'unknown', error: { reason: 'DEADLINE_EXCEEDED' } },
    ]);
  });

  it('are unknown when the caller gives up', async () => {
    const setup = await open();
    await elect(setup);
    setup.engine.gate = new Promise(() => undefined);
    const abort = new AbortController();
    const answer = setup.replica.propose([command()], { ...CONTEXT, signal: abort.signal });
    abort.abort();
    expect(await setup.environment.settle(answer)).toMatchObject([
      { kind: 'unknown', error: { reason: 'CANCELLED' } },
    ]);
  });
});

describe('reads', () => {
  it('ask the engine only behind a barrier that covers earlier writes (R1)', async () => {
    const setup = await open();
    await elect(setup);
    const { environment, replica, engine } = setup;
    const write = replica.propose([command()], CONTEXT);
    const reads = Promise.all([
      replica.search(SCOPE, [], CONTEXT),
      replica.fetch(SCOPE, [], { values: true, metadata: true }, CONTEXT),
      replica.count(SCOPE, {}, CONTEXT),
      replica.scroll(SCOPE, { limit: 1, includeValues: false, includeMetadata: false }, CONTEXT),
    ]);
    await environment.settle(write);
    expect((await environment.settle(reads))[2]).toMatchObject({ value: 7 });
    expect(engine.asked).toHaveLength(4);
  });

  it('do not reach the engine of a replica that does not lead', async () => {
    const { replica, engine } = await open();
    await expect(replica.count(SCOPE, {}, CONTEXT)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    await expect(replica.barrier(CONTEXT)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    expect(engine.asked).toEqual([]);
  });

  it('end with DEADLINE_EXCEEDED when the replica does not apply', async () => {
    const setup = await open();
    await elect(setup);
    setup.engine.gate = new Promise(() => undefined);
    const write = setup.replica.propose([command()], CONTEXT);
    await setup.environment.advance(1);
    const read = setup.replica.search(SCOPE, [], { epoch: 1, timeoutMs: 200 });
    await expect(setup.environment.settle(read)).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    expect(setup.engine.asked).toEqual([]);
    expect((await setup.environment.settle(write))[0]?.kind).toBe('unknown');
  });
});

describe('reads that may take long', () => {
  it('are given up in the engine when nobody waits for them any more (P-10)', async () => {
    const setup = await open();
    await elect(setup);
    const { environment, replica, engine } = setup;
    const { value } = await environment.settle(replica.count(SCOPE, {}, CONTEXT));
    expect(value).toBe(7);
    expect(engine.givenUp?.aborted).toBe(false);

    engine.readGate = new Promise(() => undefined);
    const late = replica.count(SCOPE, {}, { epoch: 1, timeoutMs: 200 });
    await expect(environment.settle(late)).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    expect(engine.givenUp?.aborted).toBe(true);

    const abort = new AbortController();
    const left = replica.count(SCOPE, {}, { ...CONTEXT, signal: abort.signal });
    await environment.advance(1);
    expect(engine.givenUp?.aborted).toBe(false);
    abort.abort();
    await expect(environment.settle(left)).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(engine.givenUp?.aborted).toBe(true);
  });
});

describe('searches', () => {
  const query = { vector: new Uint8Array(4), k: 1, ef: 0, includeValues: false };

  it('can be given up where they select, and cost no signal where they do not (P-10)', async () => {
    const setup = await open();
    await elect(setup);
    const { environment, replica, engine } = setup;
    const signalOf = async (selection: Selection): Promise<AbortSignal | undefined> => {
      const asked = { ...query, includeMetadata: false, ...selection };
      await environment.settle(replica.search(SCOPE, [asked], CONTEXT));
      return engine.givenUp;
    };
    expect(await signalOf({})).toBeUndefined();
    expect(await signalOf({ tenant: '' })).toBeUndefined();
    expect(await signalOf({ tenant: 'acme' })).toBeDefined();
    expect(await signalOf({ shardKeys: ['order-7'] })).toBeDefined();
    expect(await signalOf({ filter: new Uint8Array(1) })).toBeDefined();
  });
});

describe('what the replica holds', () => {
  it('is told without a barrier, behind the mark that is asked about (W4)', async () => {
    const setup = await open();
    await elect(setup);
    const { environment, replica, engine } = setup;
    await environment.advance(100);
    const mark = engine.appliedIndex + 1;
    let openGate = (): void => undefined;
    engine.gate = new Promise((resolve) => {
      openGate = resolve;
    });
    const proposed = replica.propose([command()], CONTEXT);
    const told = replica.contents({ mark, deep: false }, CONTEXT);
    await environment.advance(10);
    expect(engine.asked).toEqual([]);
    openGate();
    await environment.settle(Promise.all([proposed, told]));
    expect(engine.asked).toEqual([`contents at ${mark}`]);
  });

  it('expires by entries of the leader, until the replica is closed (W3)', async () => {
    const setup = await open();
    const { environment, engine, host } = setup;
    const record = { slot: 1, tenant: '', id: 'a', version: 1n };
    await elect(setup);
    await environment.advance(100);
    engine.due = [{ collectionId: 1, records: [record] }];
    await environment.advance(2_000);
    expect([engine.due, setup.expired]).toEqual([[], [1]]);
    await environment.settle(host.close());
    expect(environment.pendingTimers).toBe(0);
  });
});

describe('an engine that is lost', () => {
  const lost = new FlotillaError('STORE_POISONED', 'the thread ended');

  it('ends the replica when a read meets it: a leader must be able to answer', async () => {
    const faults: string[] = [];
    const setup = await open(undefined, undefined, undefined, (error) => faults.push(error.reason));
    await elect(setup);
    setup.engine.readError = lost;
    const read = setup.replica.search(SCOPE, [], CONTEXT);
    await expect(setup.environment.settle(read)).rejects.toMatchObject({
      reason: 'STORE_POISONED',
    });
    expect(setup.replica.isLeader).toBe(false);
    expect(faults).toEqual(['STORE_POISONED']);
    expect(setup.replica.statusNow().fault).toContain('the thread ended');
  });

  it('ends the replica when it is told of it, and once', async () => {
    const faults: string[] = [];
    const setup = await open(undefined, undefined, undefined, (error) => faults.push(error.reason));
    await elect(setup);
    setup.replica.fail(lost);
    setup.replica.fail(lost);
    expect(setup.replica.isLeader).toBe(false);
    expect(faults).toHaveLength(1);
  });

  it('is not what an error of the caller makes of it', async () => {
    const setup = await open();
    await elect(setup);
    setup.engine.readError = new FlotillaError('COLLECTION_NOT_FOUND', 'no such collection');
    const read = setup.replica.search(SCOPE, [], CONTEXT);
    await expect(setup.environment.settle(read)).rejects.toMatchObject({
      reason: 'COLLECTION_NOT_FOUND',
    });
    expect(setup.replica.isLeader).toBe(true);
  });
});

describe('status', () => {
  it("tells role, indexes and the engine's numbers", async () => {
    const setup = await open();
    await elect(setup);
    await setup.environment.settle(setup.replica.propose([command()], CONTEXT));
    expect(await setup.environment.settle(setup.replica.status(CONTEXT))).toMatchObject({
      shardId: 4,
      groupId: 1,
      nodeId: 10,
      leaderNodeId: 10,
      role: 'StateLeader',
      commitIndex: 2,
      appliedIndex: 2,
      lastIndex: 2,
      engine: { sessions: 3 },
      followers: [],
      fault: undefined,
    });
  });

  it('comes without the engine where that does not answer', async () => {
    const setup = await open();
    setup.engine.statsError = new Error('stopped');
    const status = await setup.environment.settle(setup.replica.status(CONTEXT));
    expect(status).toMatchObject({ role: 'StateFollower', engine: undefined });
  });
});
