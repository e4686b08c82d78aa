// Goal: what the tests of the embedded cluster share.
// Method: the built package, because engine threads run compiled code only.
import { type Cluster, Flotilla, type FlotillaOptions, type NewRecord } from 'flotilla';
import { defined } from '../../src/shared/assert.js';
import { waitUntil } from '../support/wait-until.js';

/** Failovers are waited for: short ones. */
export const FAST = { electionTimeoutMs: 300 } as const;

/** A client that knows this node only. Close it. */
export function clientOf(cluster: Cluster, nodeId: number, options?: FlotillaOptions): Flotilla {
  const node = cluster.addresses.find((one) => one.nodeId === nodeId);
  return new Flotilla(defined(node, `running node ${nodeId}`).client, {
    routing: 'proxy',
    ...options,
  });
}

/** The node that leads a shard, as soon as the one asked knows. */
export async function leaderOf(client: Flotilla, shardId: number): Promise<number> {
  let leader = 0;
  await waitUntil(`shard ${shardId} has a leader`, async () => {
    const { shards } = await client.status();
    leader = shards.find((shard) => shard.shardId === shardId)?.leaderNodeId ?? 0;
    return leader > 0;
  });
  return leader;
}

/** Waits until every node that the client asks in turn sees every replica of every group well. */
export async function healthy(client: Flotilla, nodes = 3): Promise<void> {
  const seenBy = new Set<number>();
  await waitUntil('the cluster is healthy', async () => {
    const status = await client.status();
    if (status.healthy) seenBy.add(status.answeredBy);
    else seenBy.clear();
    return seenBy.size >= nodes;
  });
}

/** Records `first` to `first + count - 1`, each with a vector of its own. */
export function recordsFrom(first: number, count: number): NewRecord<{ row: number }>[] {
  return Array.from({ length: count }, (_, at) => {
    const row = first + at;
    return { id: `row-${row}`, values: [row, row % 7, row % 11, 1], metadata: { row } };
  });
}

export interface Writer {
  /** Ids of the records that were acknowledged. */
  readonly acknowledged: string[];
  /** Resolves when the last write is answered; rejects when one failed. */
  stop(): Promise<void>;
}

/** Writes records from row `first` on, five at a time, until told to stop. */
export function startWriter(client: () => Flotilla, collection: string, first: number): Writer {
  const acknowledged: string[] = [];
  let isStopped = false;
  const run = async (): Promise<void> => {
    for (let row = first; !isStopped; row += 5) {
      const { outcomes } = await client().collection(collection).upsert(recordsFrom(row, 5));
      for (const { id, kind } of outcomes) if (kind === 'applied') acknowledged.push(id);
    }
  };
  const running = run();
  running.catch(() => undefined);
  return {
    acknowledged,
    stop: () => {
      isStopped = true;
      return running;
    },
  };
}

/** Cuts a node off from all others, or from some. */
export function isolate(cluster: Cluster, nodeId: number, others: readonly number[]): void {
  for (const other of others) cluster.network.cut(`node-${nodeId}`, `node-${other}`);
}
