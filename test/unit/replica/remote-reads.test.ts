// Goal: reads on another node are as fresh as here, also where that node knows fewer levels (F-15).
// Method: both sides of a call over a function; the older side as it was: one format, two levels.
import { describe, expect, it } from 'vitest';
import { RemoteReplica } from '../../../src/replica/remote-replica.js';
import type { CallContext, ShardReplica } from '../../../src/replica/replica.js';
import { serveReplicaCall } from '../../../src/replica/rpc-server.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import { type ShardConsistency, TOO_SLOW } from '../../../src/shared/consistency.js';
import { sleep } from '../../../src/shared/environment.js';
import { FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const SCOPE = { collectionId: 1, ownershipVersion: 1 };
const STATE = { appliedIndex: 40, ageMs: 3 };
/** As it comes from node 2. */
const TOLD = { ...STATE, nodeId: 2 };

/** A node whose one replica answers counts; `isOld` says whether its version is that before. */
function harness() {
  const node = { isOld: false, fails: undefined as FlotillaError | undefined, takesMs: 0 };
  const environment = new VirtualEnvironment();
  const { clock, scheduler } = environment;
  const formats: number[] = [];
  const asked: (ShardConsistency | undefined)[] = [];
  const replica = {
    shardId: 0,
    nodeId: 2,
    count: async (_scope: object, _selection: object, context: CallContext) => {
      asked.push(context.consistency);
      if (node.takesMs > 0) await sleep(scheduler, node.takesMs);
      if (node.fails !== undefined) throw node.fails;
      return { value: 7, state: STATE };
    },
  } as unknown as ShardReplica;
  const leader = { ...replica, nodeId: 3, count: async () => ({ value: 8, state: STATE }) };
  const replicas = { local: new Map([[1, replica]]), replicaOf: () => leader };
  const request = async (_nodeId: number, payload: Uint8Array): Promise<Uint8Array> => {
    const format = payload[1] ?? 0;
    formats.push(format);
    const unknown = new MalformedBytesError(`replica call format ${format}`);
    // What crosses the wire is an error's body.
    if (node.isOld && format !== 1) throw FlotillaError.fromBody(toFlotillaError(unknown).body);
    return serveReplicaCall(payload, { replicas, clock, signal: new AbortController().signal });
  };
  const transport = { request };
  const remote = new RemoteReplica({ shardId: 0, groupId: 1, nodeId: 2, transport, clock });
  const count = (consistency: ShardConsistency, passOn = false) =>
    environment.settle(remote.count(SCOPE, {}, { epoch: 1, timeoutMs: 100, consistency, passOn }));
  return { environment, node, formats, asked, count };
}

describe('a read on another node', () => {
  it.each<ShardConsistency>(['strong', 'leased', 'eventual', { boundedMs: 5 }, { minIndex: 9 }])(
    'arrives as %j, and its answer tells what it shows',
    async (level) => {
      const { asked, count } = harness();
      expect(await count(level)).toEqual({ value: 7, state: TOLD });
      expect(asked).toEqual([level]);
    },
  );

  it('names the node that has answered, where the one that was asked passed it on', async () => {
    const { node, count } = harness();
    node.fails = new FlotillaError('NOT_LEADER', 'node 3 leads', {
      details: { leaderNodeId: '3' },
    });
    expect(await count('strong', true)).toEqual({ value: 8, state: { ...STATE, nodeId: 3 } });
  });

  it.each<[ShardConsistency, ShardConsistency]>([
    ['strong', 'strong'],
    ['leased', 'leased'],
    ['eventual', 'strong'],
    [{ boundedMs: 5 }, 'strong'],
    [{ minIndex: 9 }, 'strong'],
  ])('of the version before, %j, is %j there, and tells nothing', async (level, expected) => {
    const { node, asked, count } = harness();
    node.isOld = true;
    expect(await count(level)).toEqual({ value: 7 });
    expect(asked).toEqual([expected]);
  });

  it('finds out once what the node knows, and again after five seconds', async () => {
    const { environment, node, formats, count } = harness();
    node.isOld = true;
    for (let time = 0; time < 10; time++) await count('eventual');
    expect(formats.filter((format) => format === 2)).toHaveLength(1);
    await environment.advance(5_000);
    await count('eventual');
    expect(formats.filter((format) => format === 2)).toHaveLength(2);
    node.isOld = false;
    await count('eventual');
    expect(formats.at(-1)).toBe(1);
    await environment.advance(5_000);
    expect(await count('eventual')).toEqual({ value: 7, state: TOLD });
    // From then on it is asked as what it is.
    await count('eventual');
    expect(formats.slice(-2)).toEqual([2, 2]);
  });

  it('keeps its bound where a node of the version before is slower than that (R12)', async () => {
    const { node, count } = harness();
    node.isOld = true;
    node.takesMs = 20;
    expect(await count({ boundedMs: 21 })).toEqual({ value: 7 });
    await expect(count({ boundedMs: 20 })).rejects.toMatchObject({
      reason: 'REPLICA_BEHIND',
      body: { details: TOO_SLOW },
    });
    expect(await count({ minIndex: 1 })).toEqual({ value: 7 });
  });

  it('by shard keys is refused for a node that knows none, never widened (F-15)', async () => {
    const unknown = toFlotillaError(new MalformedBytesError('not a boolean: 3')).body;
    const transport = { request: () => Promise.reject(FlotillaError.fromBody(unknown)) };
    const { clock } = new VirtualEnvironment();
    const remote = new RemoteReplica({ shardId: 0, groupId: 1, nodeId: 2, transport, clock });
    const context = { epoch: 1, timeoutMs: 100 };
    const of = { tenant: 'acme', shardKeys: ['order-7'] };
    await expect(remote.count(SCOPE, of, context)).rejects.toMatchObject({
      reason: 'UNIMPLEMENTED',
      field: 'shardKeys',
    });
    const others = remote.count(SCOPE, { tenant: 'acme' }, context);
    await expect(others).rejects.toMatchObject({ reason: 'INTERNAL' });
  });

  it('hands on every other error as it is', async () => {
    const { node, formats, count } = harness();
    node.fails = new FlotillaError('INTERNAL', 'something else');
    await expect(count('eventual')).rejects.toMatchObject({ reason: 'INTERNAL' });
    node.fails = new FlotillaError('REPLICA_BEHIND', 'it is behind');
    await expect(count('eventual')).rejects.toMatchObject({ reason: 'REPLICA_BEHIND' });
    expect(formats).toEqual([2, 2]);
  });
});
