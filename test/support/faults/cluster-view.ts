/** What a cluster says of itself, asked until it is what is waited for. */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { Flotilla } from '../../../src/client/index.js';
import { defined } from '../../../src/shared/assert.js';
import type { ClusterStatus } from '../../../src/shared/codec/admin-messages.js';
import type { ProcessCluster } from '../process-cluster.js';
import { waitUntil } from '../wait-until.js';

/** A status call asks all nodes and waits for none of them longer than this. */
const STATUS_TIMEOUT_MS = 5_000;

export class ClusterView {
  readonly #cluster: ProcessCluster;
  /** For what an operator asks for. */
  readonly client: Flotilla;

  constructor(cluster: ProcessCluster) {
    this.#cluster = cluster;
    this.client = new Flotilla(cluster.addresses, { timeoutMs: STATUS_TIMEOUT_MS });
  }

  status(): Promise<ClusterStatus> {
    return this.client.status();
  }

  /** The node that leads the shard, as soon as there is one among `nodeIds`. */
  async leaderOf(shardId: number, nodeIds = this.#cluster.nodeIds): Promise<number> {
    let leader = 0;
    await waitUntil(`shard ${shardId} has a leader among ${nodeIds}`, async () => {
      const { shards } = await this.status();
      leader = defined(shards[shardId], `shard ${shardId}`).leaderNodeId;
      return nodeIds.includes(leader);
    });
    return leader;
  }

  /**
   * Waits until every replica takes part and has applied what any of its group had committed when
   * this was called: all of them have the same, where nobody has written since.
   */
  async level(): Promise<void> {
    let marks: number[] | undefined;
    await waitUntil('all replicas have caught up', async () => {
      const { healthy, topology, shards } = await this.status();
      if (!healthy) return false;
      const groups = [topology, ...shards];
      marks ??= groups.map(({ replicas }) =>
        Math.max(...replicas.map(({ commitIndex }) => commitIndex)),
      );
      return groups.every(({ replicas }, at) =>
        replicas.every(({ appliedIndex }) => appliedIndex >= (marks?.[at] ?? 0)),
      );
    });
  }

  /** The terms of all groups, the topology's first: elections are what changes them. */
  async terms(): Promise<number[]> {
    const { topology, shards } = await this.status();
    return [topology, ...shards].map(({ term }) => term);
  }

  close(): Promise<void> {
    return this.client.close();
  }
}

/** Exit code and output of `flotilla status --json`, asked of one address. */
export function statusCommand(address: string): Promise<{ exitCode: number; output: string }> {
  const words = [resolve('dist/cli/main.js'), 'status', '--json', '--url', address];
  return new Promise((done) => {
    execFile(process.execPath, words, (error, stdout, stderr) => {
      const exitCode = typeof error?.code === 'number' ? error.code : error === null ? 0 : 1;
      done({ exitCode, output: stdout + stderr });
    });
  });
}
