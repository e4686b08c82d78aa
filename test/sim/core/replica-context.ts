import type { LeaseConfig, Message, Snapshot } from '../../../src/raft/types.js';
import type { World } from '../kit/world.js';
import type { MessageNetwork } from './message-network.js';
import type { Observers } from './observer.js';
import type { SimReplica } from './sim-replica.js';
import type { StateImage } from './state-image.js';
import type { Swarm } from './swarm.js';

/** How often things happened: a run in which nothing went wrong proves nothing. */
export interface Seen {
  crashes: number;
  wipes: number;
  pauses: number;
  partitions: number;
  compactions: number;
  installs: number;
  transfers: number;
  acknowledged: number;
  reads: number;
  unknown: number;
}

/** What all replicas of a run share. */
export interface ReplicaContext {
  readonly world: World;
  readonly swarm: Swarm;
  /** How slow disks are at the moment. */
  readonly disk: Swarm['disk'];
  readonly network: MessageNetwork;
  readonly observers: Observers;
  readonly leases: LeaseConfig | undefined;
  readonly seen: Seen;
  send(from: SimReplica, message: Message): void;
  /** False when the receiver is down or cut off. */
  deliverSnapshot(from: SimReplica, message: Message): boolean;
  snapshotOf(image: StateImage): Snapshot;
  imageOf(snapshot: Snapshot): StateImage;
}
