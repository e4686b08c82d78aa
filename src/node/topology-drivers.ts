/**
 * What the leader of the topology drives: it starts on each node, and waits for its turn. And what
 * each node tells the topology of itself.
 */
import type { Router } from '../router/router.js';
import type { Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import { CollectionDriver } from '../topology/collection-driver.js';
import type { GroupControl } from '../topology/group-control.js';
import { ReplicaDriver } from '../topology/replica-driver.js';
import { TenantDriver } from '../topology/tenant-driver.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';
import type { NodeConfig } from './config.js';
import { ZoneAnnouncer } from './zone-announcer.js';

export interface TopologyDriversOptions {
  readonly view: TopologyView;
  readonly topology: TopologyGroup;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly router: Router;
  readonly control: GroupControl;
  readonly self: Pick<NodeConfig, 'nodeId' | 'zone'>;
}

/** Returns what stops them. */
export function startTopologyDrivers(options: TopologyDriversOptions): () => void {
  const { router, control, self, ...common } = options;
  const drivers = [
    new CollectionDriver({
      ...common,
      proposeToShard: (shardId, command, timeoutMs) =>
        router.command(shardId, command, { timeoutMs }),
    }),
    new TenantDriver({
      ...common,
      proposeToShard: (shardId, command, timeoutMs) =>
        router.changeOwnership(shardId, command, { timeoutMs }),
    }),
    new ReplicaDriver({ ...common, control }),
    new ZoneAnnouncer({ ...common, nodeId: self.nodeId, zone: self.zone }),
  ];
  return () => {
    for (const driver of drivers) driver.close();
  };
}
