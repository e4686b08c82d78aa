/** What the leader of the topology drives. It starts on each node, and waits for its turn. */
import type { Router } from '../router/router.js';
import type { Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import { CollectionDriver } from '../topology/collection-driver.js';
import type { GroupControl } from '../topology/group-control.js';
import { ReplicaDriver } from '../topology/replica-driver.js';
import { TenantDriver } from '../topology/tenant-driver.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';

export interface TopologyDriversOptions {
  readonly view: TopologyView;
  readonly topology: TopologyGroup;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly router: Router;
  readonly control: GroupControl;
}

/** Returns what stops them. */
export function startTopologyDrivers(options: TopologyDriversOptions): () => void {
  const { router, control, ...common } = options;
  const proposeToShard = (
    shardId: number,
    command: Parameters<Router['command']>[1],
    timeoutMs: number,
  ): Promise<void> => router.command(shardId, command, { timeoutMs });
  const drivers = [
    new CollectionDriver({ ...common, proposeToShard }),
    new TenantDriver({ ...common, proposeToShard }),
    new ReplicaDriver({ ...common, control }),
  ];
  return () => {
    for (const driver of drivers) driver.close();
  };
}
