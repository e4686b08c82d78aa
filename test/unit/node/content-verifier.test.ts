// Goal: replicas that differ at one position of the log are found and named (P-6, W4).
// Method: the verifier over replicas that are objects, in virtual time.
import { describe, expect, it } from 'vitest';
import type { ContentQuery, ContentReport, SlotContent } from '../../../src/engine/engine.js';
import { ContentVerifier } from '../../../src/node/content-verifier.js';
import type { ReplicaStatus } from '../../../src/replica/replica.js';
import { defined } from '../../../src/shared/assert.js';
import type { ShardVerification } from '../../../src/shared/codec/verify-messages.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { REPLICA_STATUS } from '../replica/replica-status.js';
import { config, seed } from '../topology/topology-fixtures.js';

class Setup {
  readonly environment = new VirtualEnvironment();
  readonly view = new TopologyHolder();
  /** What nodes answer; equal where nothing else was said. */
  readonly answers = new Map<number, (query: ContentQuery) => ContentReport>();
  readonly queries: ContentQuery[] = [];
  markError: FlotillaError | undefined;
  marks = 0;
  role: ReplicaStatus['role'] = 'StateLeader';
  readonly verifier: ContentVerifier;

  constructor(nodes = 3) {
    const genesis = initialTopology(seed(nodes, 1));
    const created = { kind: 'beginCreateCollection', config: config('docs') } as const;
    this.view.publish(applyTopologyCommand(genesis, created).document);
    const replicaOf = (_: unknown, nodeId: number) => ({
      contents: async (query: ContentQuery): Promise<ContentReport> => {
        this.queries.push(query);
        return (this.answers.get(nodeId) ?? (() => holding(slot(7, 'a'))))(query);
      },
    });
    const status = async () => ({ ...REPLICA_STATUS, role: this.role });
    const local = new Map([[this.shard.groupId, { status }]]);
    this.verifier = new ContentVerifier({
      view: this.view,
      router: {
        mark: async () => {
          if (this.markError !== undefined) throw this.markError;
          return 100 * ++this.marks;
        },
      },
      directory: { local, replicaOf },
      environment: this.environment,
      logger: silentLogger,
    });
  }

  get shard() {
    return defined(this.view.current()?.shards[0], 'shard');
  }

  get collectionId(): number {
    return defined(this.view.current()?.collections[0], 'collection').collectionId;
  }

  async verify(
    options: { collectionId?: number; deep?: boolean } = {},
  ): Promise<ShardVerification> {
    const [shard] = await this.verifier.verify({ deep: false, ...options }, { timeoutMs: 1_000 });
    return defined(shard, 'shard');
  }
}

function slot(number: number, digit: string, records = 2): SlotContent {
  return { slot: number, records, hash: digit.repeat(32) };
}

/** Of the first collection. */
function holding(...slots: SlotContent[]): ContentReport {
  return { contents: [{ collectionId: 1, slots }], faults: [] };
}

describe('a comparison of replicas', () => {
  it('asks all of them at one mark, and finds nothing where they are equal', async () => {
    const setup = new Setup();
    const verified = await setup.verify();
    expect(verified).toEqual({
      shardId: setup.shard.shardId,
      index: 100,
      problem: '',
      replicas: [1, 2, 3].map((nodeId) => ({ nodeId, problem: '' })),
      slots: 1,
      differences: [],
      damages: [],
    });
    const marks = [0, 0, 0, 100, 100, 100];
    expect(setup.queries).toEqual(marks.map((mark) => ({ mark, deep: false })));
    expect([...setup.verifier.divergence]).toEqual([[setup.shard.shardId, 0]]);
  });

  it('names the slots in which hash or count differ, and those that one lacks', async () => {
    const setup = new Setup();
    setup.answers.set(1, () => holding(slot(7, 'a'), slot(9, 'c')));
    setup.answers.set(2, () => holding(slot(7, 'b'), slot(9, 'c')));
    setup.answers.set(3, () => holding(slot(7, 'a')));
    const { differences, slots } = await setup.verify();
    expect(slots).toBe(2);
    expect(differences.map((one) => [one.collection, one.slot])).toEqual([
      ['docs', 7],
      ['docs', 9],
    ]);
    expect(differences[0]?.holdings.map(({ hash }) => hash[0])).toEqual(['a', 'b', 'a']);
    expect(differences[1]?.holdings.map(({ records }) => records)).toEqual([2, 2, 0]);
    expect(setup.verifier.divergence.get(setup.shard.shardId)).toBe(2);
  });

  it('looks at one collection where it is asked to', async () => {
    const setup = new Setup();
    setup.answers.set(2, () => holding(slot(7, 'b')));
    expect((await setup.verify({ collectionId: setup.collectionId + 1 })).differences).toEqual([]);
    expect((await setup.verify({ collectionId: setup.collectionId })).differences).toHaveLength(1);
  });

  it('makes another mark for a replica that was not there at the first', async () => {
    const setup = new Setup();
    setup.answers.set(2, ({ mark }) => (mark === 100 ? { faults: [] } : holding(slot(7, 'a'))));
    expect(await setup.verify()).toMatchObject({ index: 200, differences: [] });
    setup.answers.set(2, () => ({ faults: [] }));
    const { replicas, differences } = await setup.verify();
    expect(differences).toEqual([]);
    expect(replicas[1]).toEqual({ nodeId: 2, problem: 'it was not there at the mark' });
  });

  it('says which replicas did not answer, and why a shard could not be looked at', async () => {
    const setup = new Setup();
    await setup.verify();
    setup.answers.set(3, () => {
      throw new FlotillaError('SHARD_UNAVAILABLE', 'no link');
    });
    const { replicas } = await setup.verify();
    expect(replicas.map(({ problem }) => problem)).toEqual(['', '', 'no link']);
    setup.markError = new FlotillaError('NO_LEADER', 'nobody leads');
    expect(await setup.verify()).toMatchObject({ index: 0, problem: 'nobody leads' });
  });

  it.each([
    ['does not know the call', 'INTERNAL', 'method 8'],
    ['is silent, and never said that it knows them', 'SHARD_UNAVAILABLE', 'no link'],
  ] as const)('gives no mark to a shard with a node that %s (F-15)', async (_, reason, message) => {
    const setup = new Setup();
    setup.answers.set(3, () => {
      throw new FlotillaError(reason, message);
    });
    const { problem, index, replicas } = await setup.verify();
    expect(problem).toMatch(
      RegExp(`^it is not known whether node 3 \\(${message}\\) can .* upgrade the node`),
    );
    expect([index, replicas, setup.marks, setup.verifier.divergence.size]).toEqual([0, [], 0, 0]);
    setup.answers.clear();
    expect(await setup.verify()).toMatchObject({ problem: '', index: 100 });
  });

  it('asks the node of a replica that is being added, which applies the log too', async () => {
    const setup = new Setup(4);
    const { replicas, groupId } = setup.shard;
    const held = replicas.map(({ nodeId }) => nodeId);
    const nodeId = defined(
      [1, 2, 3, 4].find((one) => !held.includes(one)),
      'a node without one',
    );
    const add = { kind: 'addReplica', groupId, nodeId } as const;
    const document = defined(setup.view.current(), 'the topology');
    setup.view.publish(applyTopologyCommand(document, add).document);
    setup.answers.set(nodeId, () => {
      throw new FlotillaError('INTERNAL', 'method 8');
    });
    expect((await setup.verify()).problem).toContain(`node ${nodeId} (method 8)`);
    setup.answers.clear();
    expect((await setup.verify()).replicas.map((one) => one.nodeId)).toEqual([...held].sort());
  });

  it('gives one where a node that knows them has no replica that takes part', async () => {
    const setup = new Setup();
    setup.answers.set(3, () => {
      throw new FlotillaError('NO_LEADER', 'the log is damaged');
    });
    const { replicas, index } = await setup.verify();
    expect([index, replicas[2]]).toEqual([100, { nodeId: 3, problem: 'the log is damaged' }]);
  });

  it('gives none to one that knew them and does not any more', async () => {
    const setup = new Setup();
    await setup.verify();
    setup.answers.set(3, () => {
      throw new FlotillaError('INTERNAL', 'method 8');
    });
    expect((await setup.verify()).problem).toContain('whether node 3 (method 8) can take part');
    expect(setup.marks).toBe(1);
  });

  it('names what a deep one finds stored in the place of what was written', async () => {
    const setup = new Setup();
    const fault = { collectionId: 1, kept: slot(7, 'a', 2), found: slot(7, 'b', 1) };
    setup.answers.set(2, ({ deep }) => ({ ...holding(slot(7, 'a')), faults: deep ? [fault] : [] }));
    expect((await setup.verify()).damages).toEqual([]);
    expect((await setup.verify({ deep: true })).damages).toMatchObject([
      { collection: 'docs', slot: 7, kept: { nodeId: 2, records: 2 }, found: { records: 1 } },
    ]);
  });

  it('is made now and then by the node that leads, for its metrics', async () => {
    const setup = new Setup();
    setup.answers.set(2, () => holding(slot(7, 'b')));
    await setup.environment.advance(599_999);
    expect(setup.marks).toBe(0);
    await setup.environment.advance(1);
    expect(setup.verifier.divergence.get(setup.shard.shardId)).toBe(1);
    setup.answers.set(3, () => {
      throw new FlotillaError('UNIMPLEMENTED', 'an earlier version');
    });
    await setup.environment.advance(600_000);
    expect(setup.marks).toBe(1);
    setup.answers.clear();
    await setup.environment.advance(600_000);
    expect(setup.verifier.divergence.get(setup.shard.shardId)).toBe(0);
    setup.verifier.close();
    await setup.environment.advance(3_600_000);
    expect(setup.marks).toBe(2);
  });

  it('gives its metrics no all-clear while a replica is silent that has differed', async () => {
    const setup = new Setup();
    const { shardId } = setup.shard;
    const silent = (): ContentReport => {
      throw new FlotillaError('SHARD_UNAVAILABLE', 'no answer');
    };
    const divergence = () => setup.verifier.divergence.get(shardId);
    setup.answers.set(2, () => holding(slot(7, 'b'), slot(8, 'b'), slot(9, 'b')));
    await setup.verify();
    expect(divergence()).toBe(3);
    setup.answers.set(2, silent);
    await setup.environment.advance(600_000);
    expect(setup.marks).toBe(2);
    expect(divergence()).toBe(3);
    // More may be found among the others, and counts.
    setup.answers.set(3, () => holding(...[1, 2, 3, 4].map((number) => slot(number, 'c'))));
    await setup.verify();
    expect(divergence()).toBe(5);
    setup.answers.clear();
    await setup.environment.advance(600_000);
    expect(divergence()).toBe(0);
  });

  it('says nothing to its metrics where a replica was silent from the first', async () => {
    const setup = new Setup();
    setup.answers.set(2, ({ mark }) => {
      if (mark === 0) return holding();
      throw new FlotillaError('SHARD_UNAVAILABLE', 'no answer');
    });
    expect((await setup.verify()).differences).toEqual([]);
    expect(setup.verifier.divergence.get(setup.shard.shardId)).toBeUndefined();
  });

  it('keeps damage for its metrics until a deep one of all replicas finds none', async () => {
    const setup = new Setup();
    const { shardId } = setup.shard;
    const divergence = () => setup.verifier.divergence.get(shardId);
    const fault = { collectionId: 1, kept: slot(7, 'a', 2), found: slot(7, 'b', 1) };
    setup.answers.set(2, ({ deep }) => ({ ...holding(slot(7, 'a')), faults: deep ? [fault] : [] }));
    await setup.verify({ deep: true });
    expect(divergence()).toBe(1);
    await setup.environment.advance(600_000);
    expect(setup.queries.at(-1)).toMatchObject({ deep: false });
    expect(divergence()).toBe(1);
    setup.role = 'StateFollower';
    await setup.environment.advance(600_000);
    expect(divergence()).toBe(1);
    setup.answers.set(2, () => {
      throw new FlotillaError('SHARD_UNAVAILABLE', 'no answer');
    });
    await setup.verify({ deep: true });
    expect(divergence()).toBe(1);
    setup.answers.clear();
    await setup.verify({ deep: true });
    expect(divergence()).toBe(0);
  });

  it('leaves what replicas differ in to the metrics of the node that leads', async () => {
    const setup = new Setup();
    setup.answers.set(2, () => holding(slot(7, 'b')));
    await setup.verify();
    setup.role = 'StateFollower';
    await setup.environment.advance(600_000);
    expect([...setup.verifier.divergence]).toEqual([]);
  });
});
