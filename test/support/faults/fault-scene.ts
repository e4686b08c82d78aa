/** What a fault is, whom it meets, and the words that all of them share. */
import type { ProcessCluster } from '../process-cluster.js';
import type { ClusterView } from './cluster-view.js';
import type { Disturbance } from './node-network.js';

export interface FaultScene {
  readonly cluster: ProcessCluster;
  readonly view: ClusterView;
  /** In [0, 1). */
  readonly random: () => number;
}

/** A fault that has begun. */
export interface OpenFault {
  /** Whom it hit, for the log. */
  readonly detail: string;
  /** Takes it away and waits until the nodes run; their replicas may still have to catch up. */
  cure(): Promise<void>;
}

export interface FaultKind {
  readonly name: string;
  /** What happens, for the report. */
  readonly what: string;
  /** 'cure' where no majority is left until then, so that nothing can go on before. */
  readonly goesOnFrom: 'begin' | 'cure';
  isPossible(cluster: ProcessCluster): boolean;
  begin(scene: FaultScene): Promise<OpenFault>;
}

/** From, to. */
export type Path = readonly [number, number];

/** Whoever leads a shard drawn at random. */
export async function someLeader(scene: FaultScene): Promise<number> {
  const { shards } = await scene.view.status();
  return scene.view.leaderOf(Math.floor(scene.random() * shards.length));
}

export async function startAgain(
  { cluster }: FaultScene,
  nodeIds: readonly number[],
): Promise<void> {
  for (const nodeId of nodeIds) cluster.startNode(nodeId);
  await cluster.ready();
}

export function disturbed(
  { cluster }: FaultScene,
  paths: readonly Path[],
  detail: string,
  how: Disturbance = { isCut: true },
): OpenFault {
  for (const [from, to] of paths) cluster.network.disturb(from, to, how);
  return { detail, cure: async () => cluster.network.heal() };
}

export function apart(some: readonly number[], others: readonly number[]): Path[] {
  return some.flatMap((a) =>
    others.flatMap((b): Path[] => [
      [a, b],
      [b, a],
    ]),
  );
}

export function others({ cluster }: FaultScene, nodeIds: readonly number[]): number[] {
  return cluster.nodeIds.filter((nodeId) => !nodeIds.includes(nodeId));
}

export function pick(scene: FaultScene, from: readonly number[]): number {
  return from[Math.floor(scene.random() * from.length)] as number;
}

export function shuffle<T>({ random }: Pick<FaultScene, 'random'>, items: readonly T[]): T[] {
  const shuffled = [...items];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [shuffled[at], shuffled[other]] = [shuffled[other] as T, shuffled[at] as T];
  }
  return shuffled;
}
