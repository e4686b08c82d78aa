/** How long a shard goes without an acknowledged write when its leader goes away. */
import { Flotilla } from '../../../src/client/index.js';
import type { ProcessCluster } from '../process-cluster.js';
import { waitUntil } from '../wait-until.js';
import type { ClusterView } from './cluster-view.js';
import { KeySpace } from './key-space.js';
import { acknowledged } from './workload.js';

const COLLECTION = 'failover';
/** Clients in flight at any time: the first write that can succeed is there when it can. */
const WRITERS = 4;

export interface FailoverScene {
  readonly cluster: ProcessCluster;
  readonly view: ClusterView;
}

/** Makes the leader go away; resolves with what brings it back. */
export type Departure = (scene: FailoverScene, nodeId: number) => Promise<() => Promise<void>>;

export const DEPARTURES: Readonly<Record<'kill' | 'pause' | 'stop', Departure>> = {
  kill: async ({ cluster }, nodeId) => {
    // Not awaited: the clock runs from the signal.
    const gone = cluster.kill(nodeId);
    return async () => {
      await gone;
      cluster.startNode(nodeId);
    };
  },
  pause: async ({ cluster }, nodeId) => {
    cluster.pause(nodeId);
    return async () => cluster.resume(nodeId);
  },
  stop: async ({ cluster }, nodeId) => {
    const gone = cluster.terminate(nodeId);
    return async () => {
      await gone;
      cluster.startNode(nodeId);
    };
  },
};

/**
 * Milliseconds from each departure of the leader of shard 0 to the first acknowledged write that
 * began after it. Writers ask the other nodes, so that only the shard's silence counts.
 */
export async function measureFailovers(
  scene: FailoverScene,
  departure: Departure,
  repeats: number,
): Promise<number[]> {
  const { cluster, view } = scene;
  const everyone = new Flotilla(cluster.addresses);
  await everyone.createCollection({ name: COLLECTION, dimension: 1, metric: 'l2' });
  await everyone.close();
  const probe = new KeySpace((await view.status()).shards.length).idOn(0, 'probe');
  const durationsMs: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    await cluster.ready();
    await view.level();
    const leader = await view.leaderOf(0);
    const others = cluster.nodeIds.filter((nodeId) => nodeId !== leader);
    const client = new Flotilla(
      others.map((nodeId) => cluster.clientAddress(nodeId)),
      { routing: 'proxy' },
    );
    const writing = new ContinuousWrites(client, probe);
    await writing.firstAfter(performance.now());
    const startMs = performance.now();
    const comeBack = await departure(scene, leader);
    durationsMs.push((await writing.firstAfter(startMs)) - startMs);
    await comeBack();
    await writing.stop();
    await client.close();
  }
  return durationsMs;
}

/** Writes to shard 0, one after another from each writer, until it is stopped. */
class ContinuousWrites {
  readonly #client: Flotilla;
  readonly #writers: Promise<unknown>;
  readonly #ended: { readonly startMs: number; readonly endMs: number }[] = [];
  readonly #id: string;
  #isStopped = false;

  constructor(client: Flotilla, id: string) {
    this.#client = client;
    this.#id = id;
    this.#writers = Promise.all(Array.from({ length: WRITERS }, (_, at) => this.#write(at)));
  }

  /** When the first write that began at `startMs` or later was acknowledged. */
  async firstAfter(startMs: number): Promise<number> {
    const find = () => this.#ended.find((write) => write.startMs >= startMs)?.endMs;
    await waitUntil('a write is acknowledged', () => find() !== undefined);
    return find() ?? Number.NaN;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#writers;
  }

  async #write(at: number): Promise<void> {
    while (!this.#isStopped) {
      const startMs = performance.now();
      const records = [{ id: this.#id, values: [at] }];
      // A short deadline: a call that began before the departure must not keep a writer for long.
      const write = this.#client.collection(COLLECTION).upsert(records, { timeoutMs: 2_000 });
      const isAcknowledged = await acknowledged(write).then(
        () => true,
        () => false,
      );
      if (isAcknowledged) this.#ended.push({ startMs, endMs: performance.now() });
    }
  }
}
