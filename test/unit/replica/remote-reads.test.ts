// Goal: reads on another node are as fresh as here, also where that node knows fewer levels (F-15).
// Method: both sides of a call over a function; the older side as it was: one format, two levels.
import { describe, expect, it } from 'vitest';
import { RemoteReplica } from '../../../src/replica/remote-replica.js';
import type { CallContext, ShardReplica } from '../../../src/replica/replica.js';
import { serveReplicaCall } from '../../../src/replica/rpc-server.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import type { ShardConsistency } from '../../../src/shared/consistency.js';
import { FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const SCOPE = { collectionId: 1, ownershipVersion: 1 };
const STATE = { appliedIndex: 40, ageMs: 3 };

/** A node whose one replica answers counts; `isOld` says whether its version is that before. */
function harness() {
  const node = { isOld: false, fails: undefined as FlotillaError | undefined };
  const formats: number[] = [];
  const asked: (ShardConsistency | undefined)[] = [];
  const replica = {
    shardId: 0,
    nodeId: 2,
    count: async (_scope: object, _selection: object, context: CallContext) => {
      asked.push(context.consistency);
      if (node.fails !== undefined) throw node.fails;
      return { value: 7, state: STATE };
    },
  } as unknown as ShardReplica;
  const replicas = { local: new Map([[1, replica]]), replicaOf: () => replica };
  const { clock } = new VirtualEnvironment();
  const request = async (_nodeId: number, payload: Uint8Array): Promise<Uint8Array> => {
    const format = payload[1] ?? 0;
    formats.push(format);
    const unknown = new MalformedBytesError(`replica call format ${format}`);
    // What crosses the wire is an error's body.
    if (node.isOld && format !== 1) throw FlotillaError.fromBody(toFlotillaError(unknown).body);
    return serveReplicaCall(payload, { replicas, clock, signal: new AbortController().signal });
  };
  const remote = new RemoteReplica({ shardId: 0, groupId: 1, nodeId: 2, transport: { request } });
  const count = (consistency: ShardConsistency) =>
    remote.count(SCOPE, {}, { epoch: 1, timeoutMs: 100, consistency });
  return { node, formats, asked, count };
}

describe('a read on another node', () => {
  it.each<ShardConsistency>(['strong', 'leased', 'eventual', { boundedMs: 5 }, { minIndex: 9 }])(
    'arrives as %j, and its answer tells what it shows',
    async (level) => {
      const { asked, count } = harness();
      expect(await count(level)).toEqual({ value: 7, state: STATE });
      expect(asked).toEqual([level]);
    },
  );

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

  it('finds out once what the node knows, and again after a thousand reads', async () => {
    const { node, formats, count } = harness();
    node.isOld = true;
    for (let time = 0; time < 10; time++) await count('eventual');
    expect(formats.filter((format) => format === 2)).toHaveLength(1);
    node.isOld = false;
    for (let time = 0; time < 1_000; time++) await count('eventual');
    expect(formats.at(-1)).toBe(2);
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
