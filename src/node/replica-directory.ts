/** Finds the replica to talk to: the one on this node, or a stub for one on another. */
import { RemoteReplica } from '../replica/remote-replica.js';
import type { ShardReplica } from '../replica/replica.js';
import { absentReplica } from '../replica/status-only-replica.js';
import type { Clock } from '../shared/environment.js';
import type { Transport } from '../transport/transport.js';

export class ReplicaDirectory {
  readonly #nodeId: number;
  readonly #transport: Pick<Transport, 'request'>;
  readonly #clock: Clock;
  /** Replicas of this node by group. */
  readonly local = new Map<number, ShardReplica>();
  readonly #remote = new Map<string, RemoteReplica>();

  constructor(nodeId: number, transport: Pick<Transport, 'request'>, clock: Clock) {
    this.#nodeId = nodeId;
    this.#transport = transport;
    this.#clock = clock;
  }

  /** Never fails: a replica that this node has not opened yet refuses by itself. */
  replicaOf(
    group: { readonly shardId: number; readonly groupId: number },
    nodeId: number,
  ): ShardReplica {
    const { shardId, groupId } = group;
    if (nodeId === this.#nodeId) {
      const fault = 'it is still being opened';
      return (
        this.local.get(groupId) ?? absentReplica({ shardId, groupId, replicaId: 0, nodeId, fault })
      );
    }
    const key = `${groupId}/${nodeId}`;
    const known = this.#remote.get(key);
    if (known !== undefined) return known;
    const [transport, clock] = [this.#transport, this.#clock];
    const replica = new RemoteReplica({ shardId, groupId, nodeId, transport, clock });
    this.#remote.set(key, replica);
    return replica;
  }
}
