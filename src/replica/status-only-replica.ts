/** A replica of this node that serves nothing but its status, and says why. */
import { FlotillaError } from '../shared/errors.js';
import type { ReplicaStatus, ShardReplica } from './replica.js';

export interface StatusOnlyOptions {
  readonly shardId: number;
  readonly nodeId: number;
  /** A sentence, for those who ask for more than the status. */
  readonly why: string;
  readonly status: () => ReplicaStatus;
}

export class StatusOnlyReplica implements ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  readonly #options: StatusOnlyOptions;

  constructor(options: StatusOnlyOptions) {
    this.#options = options;
    this.shardId = options.shardId;
    this.nodeId = options.nodeId;
  }

  propose(): Promise<never> {
    return this.#refuse();
  }

  search(): Promise<never> {
    return this.#refuse();
  }

  fetch(): Promise<never> {
    return this.#refuse();
  }

  count(): Promise<never> {
    return this.#refuse();
  }

  scroll(): Promise<never> {
    return this.#refuse();
  }

  tenants(): Promise<never> {
    return this.#refuse();
  }

  explain(): Promise<never> {
    return this.#refuse();
  }

  contents(): Promise<never> {
    return this.#refuse();
  }

  barrier(): Promise<never> {
    return this.#refuse();
  }

  async status(): Promise<ReplicaStatus> {
    return this.#options.status();
  }

  async #refuse(): Promise<never> {
    throw new FlotillaError('NO_LEADER', this.#options.why);
  }
}

export interface AbsentReplica {
  readonly shardId: number;
  readonly groupId: number;
  readonly replicaId: number;
  readonly nodeId: number;
  /** Why it does not take part: damaged, not open yet. */
  readonly fault: string;
}

/** A replica that this node should have, and has not. */
export function absentReplica(absent: AbsentReplica): StatusOnlyReplica {
  const { shardId, groupId, replicaId, nodeId, fault } = absent;
  return new StatusOnlyReplica({
    shardId,
    nodeId,
    why: `The replica of shard ${shardId} on node ${nodeId} does not take part: ${fault}`,
    status: () => ({
      groupId,
      shardId,
      replicaId,
      nodeId,
      role: 'StateFollower',
      term: 0,
      leaderNodeId: 0,
      commitIndex: 0,
      appliedIndex: 0,
      lastIndex: 0,
      leaderChanges: 0,
      followers: [],
      engine: undefined,
      fault,
    }),
  });
}
