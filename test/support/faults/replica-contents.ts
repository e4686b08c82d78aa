/** Compares what the replicas of a stopped cluster have on disk (P-6). */
import { createHash } from 'node:crypto';
import { Generations } from '../../../src/engine/generations.js';
import { APPLIED_INDEX_KEY } from '../../../src/engine/store-keys.js';
import { RealDisk } from '../../../src/node/real-disk.js';
import type { ProcessCluster } from '../process-cluster.js';

const ALL = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) };

/**
 * A digest of the keys and values of each replica's point store (collections, sessions, records),
 * by shard, then by node. Equal where the replicas have applied the same commands; the applied
 * index is left out, which leaders that were elected meanwhile move on. To be called when no node
 * runs. Reads everything.
 */
export async function replicaDigests(
  cluster: ProcessCluster,
  shards: number,
): Promise<Map<number, Map<number, string>>> {
  const digests = new Map<number, Map<number, string>>();
  for (let shardId = 0; shardId < shards; shardId++) {
    const byNode = new Map<number, string>();
    for (const nodeId of cluster.nodeIds) {
      const directory = cluster.shardDirectoryOf(nodeId, shardId);
      if (directory !== undefined) byNode.set(nodeId, await digestOf(directory));
    }
    digests.set(shardId, byNode);
  }
  return digests;
}

async function digestOf(directory: string): Promise<string> {
  const { kv: store } = await new Generations(new RealDisk(), directory).open();
  const hash = createHash('sha256');
  try {
    for await (const page of store.scan(ALL)) {
      for (const { key, value } of page) {
        if (Buffer.compare(key, APPLIED_INDEX_KEY) === 0) continue;
        hash.update(`${key.length}/${value.length}/`).update(key).update(value);
      }
    }
  } finally {
    await store.close();
  }
  return hash.digest('hex');
}
