// Goal: nodes tell one another what graphs are brought to, and older ones go without it (F-15).
// Method: golden bytes, and both sides of a call over a function; the older sides as they were.
import { describe, expect, it } from 'vitest';
import type { CollectionStats, GraphWork } from '../../../src/engine/engine.js';
import { RemoteReplica } from '../../../src/replica/remote-replica.js';
import type { ReplicaStatus, ShardReplica } from '../../../src/replica/replica.js';
import { decodeStatus, encodeStatus } from '../../../src/replica/rpc-codec.js';
import { serveReplicaCall } from '../../../src/replica/rpc-server.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import { FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import { GoldenFile } from '../../fixtures/golden.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { REPLICA_STATUS } from './replica-status.js';

const golden = new GoldenFile('format-2', 'replica');

function collection(collectionId: number, graphWork?: GraphWork): CollectionStats {
  return {
    collectionId,
    records: 1_000,
    headRows: 20,
    graphPoints: 990,
    tombstones: 10,
    isRenewing: false,
    memoryBytes: 70_000,
    ...(graphWork !== undefined && { graphWork }),
  };
}

function statusOf(...collections: CollectionStats[]): ReplicaStatus {
  const engine = { appliedIndex: 999, ownershipVersion: 3, sessions: 2, collections };
  return { ...REPLICA_STATUS, engine };
}

const STATUS = statusOf(collection(7, 'loading'), collection(8), collection(9, 'rebuilding'));
const UNTOLD = statusOf(collection(7), collection(8), collection(9));

const CONTEXT = { epoch: 1, timeoutMs: 100 };

/** The status that a node gets which asks one that answers so. */
async function askedOf(answer: (payload: Uint8Array) => Promise<Uint8Array>) {
  const request = (_nodeId: number, payload: Uint8Array) => answer(payload);
  const { clock } = new VirtualEnvironment();
  const transport = { request };
  const remote = new RemoteReplica({ shardId: 0, groupId: 1, nodeId: 2, transport, clock });
  return remote.status(CONTEXT);
}

/** A node of this version. */
function served(payload: Uint8Array): Promise<Uint8Array> {
  const replica = { shardId: 0, nodeId: 2, status: async () => STATUS } as unknown as ShardReplica;
  const replicas = { local: new Map([[1, replica]]), replicaOf: () => replica };
  const { clock } = new VirtualEnvironment();
  return serveReplicaCall(payload, { replicas, clock, signal: new AbortController().signal });
}

describe('the status of a replica in format 2 (F-15)', () => {
  it('has the bytes that it always had', () => {
    golden.holds('status', STATUS, {
      encode: (status) => encodeStatus(status, 2),
      decode: decodeStatus,
    });
    expect(golden.unread).toEqual([]);
  });

  it('is asked for, and tells what graphs are brought to', async () => {
    expect(await askedOf(served)).toEqual(STATUS);
  });

  it('is that of format 1 to and from a node that has no other', async () => {
    const strict = async (payload: Uint8Array): Promise<Uint8Array> => {
      if (payload[1] === 1) return served(payload);
      const unknown = new MalformedBytesError(`replica call format ${payload[1]}`);
      throw FlotillaError.fromBody(toFlotillaError(unknown).body);
    };
    expect(await askedOf(strict)).toEqual(UNTOLD);
    // One that has the format for reads answers in the first.
    expect(await askedOf(async () => encodeStatus(STATUS))).toEqual(UNTOLD);
  });

  it('passes by what a newer version tells beside that', async () => {
    const bytes = encodeStatus(STATUS, 2);
    expect(decodeStatus(bytes.with(-1, 9))).toEqual(
      statusOf(collection(7, 'loading'), collection(8), collection(9)),
    );
  });
});
