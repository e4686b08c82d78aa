/**
 * This node's replica of the topology's group, and what runs beside it while it does: the drivers
 * of what the document says is under way.
 *
 * A replica that cannot be opened does not end the node. Without it the node learns of newer
 * documents from the others, and so of the new replica that an operator gives it.
 */
import type { IndexLibraryStats } from '../engine/engine.js';
import type { RaftGroup } from '../replica/group.js';
import type { ReplicaHost } from '../replica/host.js';
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import { groupStatusOf } from '../replica/status.js';
import { absentReplica, StatusOnlyReplica } from '../replica/status-only-replica.js';
import type { Environment, Timer } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import { TOPOLOGY_GROUP_ID, type TopologyDocument } from '../topology/document.js';
import { hasLeft, replicaGroup } from '../topology/replica-group.js';
import { TopologyGroup } from '../topology/topology-group.js';
import { TopologyMachine } from '../topology/topology-machine.js';
import type { TopologyResult } from '../topology/transitions.js';
import type { TopologyHolder } from '../topology/view.js';
import type { Transport } from '../transport/transport.js';
import {
  blankGenesis,
  groupGenesis,
  handOverGroup,
  heldReplicaId,
  ignoreUsedBefore,
  isKnownStore,
} from './shards.js';

export interface TopologyReplicaOptions {
  readonly nodeId: number;
  /** What the cluster was made with. */
  readonly genesis: TopologyDocument;
  readonly view: TopologyHolder;
  readonly host: ReplicaHost;
  readonly logStore: LogStore;
  readonly transport: Pick<Transport, 'request'>;
  readonly environment: Environment;
  readonly logger: Logger;
  /** Starts the drivers on a replica that was opened; returns what stops them. */
  readonly startDrivers: (topology: TopologyGroup) => () => void;
  /** The newest document that another node has. */
  readonly newestElsewhere: () => Promise<TopologyDocument | undefined>;
  /** Told of the replica as others see it, each time that it changes. */
  readonly opened: (groupId: number, replica: ShardReplica) => void;
  /** That of the node, which tells it so where it has no shard. @default nothing is said */
  readonly library?: IndexLibraryStats | undefined;
}

interface OpenReplica {
  readonly raft: RaftGroup<TopologyResult>;
  readonly topology: TopologyGroup;
  readonly stopDrivers: () => void;
}

const POLL_PERIOD_MS = 1_000;

export class TopologyReplica {
  readonly #options: TopologyReplicaOptions;
  readonly #self: { readonly nodeId: number; readonly storeId: string };
  #open: OpenReplica | undefined;
  #working: Promise<void> = Promise.resolve();
  #isPolling = false;
  #stopWatching: () => void = () => undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: TopologyReplicaOptions) {
    this.#options = options;
    this.#self = { nodeId: options.nodeId, storeId: options.logStore.identity.storeId };
  }

  /** Undefined while this node has no replica that runs. */
  get group(): TopologyGroup | undefined {
    return this.#open?.topology;
  }

  get raft(): RaftGroup<TopologyResult> | undefined {
    return this.#open?.raft;
  }

  status(): ReplicaStatus | undefined {
    const raft = this.#open?.raft;
    return raft && this.#describe(raft);
  }

  /** Opens what the log store holds, and follows the topology from then on. */
  async open(): Promise<void> {
    const { genesis, logStore, view, environment } = this.#options;
    const { topologyReplicas } = genesis;
    const first = groupGenesis(genesis, this.#self, TOPOLOGY_GROUP_ID, topologyReplicas);
    if (first !== undefined && this.#heldId() === undefined) {
      await logStore.createGroup(first).catch(ignoreUsedBefore);
    }
    await this.#openHeld();
    this.#stopWatching = view.onChange(() => this.#follow());
    this.#timer = environment.scheduler.every(POLL_PERIOD_MS, () => void this.#poll());
    this.#follow();
  }

  /** Waits for what is under way; the host closes the replica itself. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    this.#timer?.cancel();
    await this.#working;
    this.#open?.stopDrivers();
  }

  /** One thing at a time, and always by the newest document. */
  #follow(): void {
    this.#working = this.#working
      .then(() => (this.#closed ? undefined : this.#reconcile()))
      .catch((error: unknown) => this.#absent(this.#heldId() ?? 0, String(error)));
  }

  async #reconcile(): Promise<void> {
    const { view, logStore, logger } = this.#options;
    const document = view.current();
    const group = document && replicaGroup(document, TOPOLOGY_GROUP_ID);
    if (document === undefined || group === undefined) return;
    const held = this.#heldId();
    const { change } = group;
    const isHere = change?.add?.nodeId === this.#self.nodeId && change.stage !== 'cancelling';
    const added = isHere && isKnownStore(document, this.#self) ? change.add : undefined;
    if (added !== undefined && added.replicaId > (held ?? 0)) {
      await this.#replace(added.replicaId);
    } else if (held !== undefined && hasLeft(group, held)) {
      logger.info({ replicaId: held }, 'the replica of the topology leaves this node');
      // Where its replacement was given up, the group still lists the one from before.
      const listed = group.replicas.find(({ nodeId }) => nodeId === this.#self.nodeId);
      if (listed === undefined) await this.#drop(held, 'it was removed');
      else await this.#drop(listed.replicaId, `its log is not here any more; ${this.#advice}`);
      await logStore.removeGroup(TOPOLOGY_GROUP_ID);
    }
  }

  async #replace(replicaId: number): Promise<void> {
    const { logStore, logger, genesis } = this.#options;
    logger.info({ replicaId }, 'a new replica of the topology comes to this node');
    await this.#drop(replicaId, 'it is still being opened');
    const blank = blankGenesis(genesis, TOPOLOGY_GROUP_ID, replicaId);
    await logStore.replaceGroup(blank).catch(ignoreUsedBefore);
    await this.#openHeld();
  }

  async #drop(replicaId: number, why: string): Promise<void> {
    this.#open?.stopDrivers();
    this.#open = undefined;
    this.#absent(replicaId, why);
    await handOverGroup(this.#options.host, TOPOLOGY_GROUP_ID);
    await this.#options.host.removeGroup(TOPOLOGY_GROUP_ID);
  }

  async #openHeld(): Promise<void> {
    const { logStore } = this.#options;
    const held = logStore.groups().find(({ groupId }) => groupId === TOPOLOGY_GROUP_ID);
    if (held !== undefined) return this.#openGroup(held);
    const damage = logStore.damaged().find(({ groupId }) => groupId === TOPOLOGY_GROUP_ID);
    const fault =
      damage === undefined ? 'its log is not here' : `${damage.reason}: ${damage.message}`;
    this.#absent(damage?.replicaId ?? 0, `${fault}; ${this.#advice}`);
  }

  get #advice(): string {
    return `flotilla replica reset --topology --node ${this.#self.nodeId} gives the node a new one`;
  }

  async #openGroup(held: GroupGenesis): Promise<void> {
    const { genesis, view, host, environment, nodeId, transport, opened } = this.#options;
    const machine = new TopologyMachine({
      genesis,
      publish: (document) => void view.publish(document),
      disk: environment.disk,
    });
    try {
      const raft = await host.addGroup(held, machine, { isDurable: false });
      const topology = new TopologyGroup({ group: raft, nodeId, transport, environment });
      this.#open = { raft, topology, stopDrivers: this.#options.startDrivers(topology) };
      const status = (): ReplicaStatus => this.#describe(raft);
      const why = 'The topology group is no shard';
      opened(TOPOLOGY_GROUP_ID, new StatusOnlyReplica({ shardId: 0, nodeId, why, status }));
    } catch (error) {
      if (this.#closed) throw error;
      this.#absent(held.replicaId, String(error));
    }
  }

  /** With the library: nodes of earlier versions show the hash of no records beside it. */
  #describe(raft: RaftGroup<TopologyResult>): ReplicaStatus {
    const { nodeId, library } = this.#options;
    const status = groupStatusOf(raft, { shardId: 0, nodeId });
    if (library === undefined) return status;
    const { appliedIndex } = status;
    const engine = { appliedIndex, ownershipVersion: 0, collections: [], sessions: 0, library };
    return { ...status, engine };
  }

  /** Asks the others for newer documents while the group does not bring them here. */
  async #poll(): Promise<void> {
    const isFed = this.#open?.raft.isInTouch === true;
    if (isFed || this.#isPolling || this.#closed) return;
    this.#isPolling = true;
    try {
      const document = await this.#options.newestElsewhere();
      if (document !== undefined && !this.#closed) this.#options.view.publish(document);
    } finally {
      this.#isPolling = false;
    }
  }

  #heldId(): number | undefined {
    return heldReplicaId(this.#options.logStore, TOPOLOGY_GROUP_ID);
  }

  #absent(replicaId: number, fault: string): void {
    const { nodeId, logger, opened } = this.#options;
    const groupId = TOPOLOGY_GROUP_ID;
    logger.error({ groupId, replicaId, fault }, 'the replica of the topology does not take part');
    opened(groupId, absentReplica({ shardId: 0, groupId, replicaId, nodeId, fault }));
  }
}
