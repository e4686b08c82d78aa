/**
 * The shard replicas of this node follow the topology: opened at the start as the log store holds
 * them, then opened, replaced and removed as the document says.
 *
 * The document may be an old one, as this node sees them all again at each start. What is done is
 * right for any: a replica is begun only where the document adds it, to this very store, under an
 * id that the store has not had (the store refuses others, M8); one is removed only when a document
 * that knew it no longer lists it, which is final.
 */
import type { Engine, ShardGenesis } from '../engine/engine.js';
import type { ReplicaHost } from '../replica/host.js';
import { LocalReplica } from '../replica/local-replica.js';
import type { ShardReplica } from '../replica/replica.js';
import { absentReplica } from '../replica/status-only-replica.js';
import type { Environment } from '../shared/environment.js';
import { type FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import type { ReplicaEntry, ShardEntry, TopologyDocument } from '../topology/document.js';
import { hasLeft, type ReplicaGroup, replicaGroup } from '../topology/replica-group.js';
import type { TopologyView } from '../topology/view.js';
import { ShardDirectories } from './shard-directories.js';
import { blankGenesis, groupGenesis, handOverGroup, isKnownStore, shardGenesis } from './shards.js';

export interface ShardReplicasOptions {
  readonly nodeId: number;
  /** What the cluster was made with. */
  readonly genesis: TopologyDocument;
  readonly view: TopologyView;
  readonly host: ReplicaHost;
  readonly logStore: LogStore;
  readonly environment: Environment;
  readonly logger: Logger;
  /** Where the engines' directories are. */
  readonly directory: string;
  readonly createEngine: (
    genesis: ShardGenesis,
    directory: string,
    onLost: (error: FlotillaError) => void,
  ) => Engine;
  /** Told of each replica as it is there, so that a small shard serves while a big one loads. */
  readonly opened: (groupId: number, replica: ShardReplica) => void;
  /** The node holds no replica of the group any more. */
  readonly removed: (groupId: number) => void;
}

export class ShardReplicas {
  readonly #options: ShardReplicasOptions;
  readonly #self: { readonly nodeId: number; readonly storeId: string };
  readonly #directories: ShardDirectories;
  /** The entry that was last followed, by group. */
  readonly #followed = new Map<number, ShardEntry>();
  readonly #working = new Map<number, Promise<void>>();
  #stopWatching: () => void = () => undefined;
  #closed = false;

  constructor(options: ShardReplicasOptions) {
    const { nodeId, genesis, environment, logStore, directory } = options;
    this.#options = options;
    this.#self = { nodeId, storeId: logStore.identity.storeId };
    const firstIds = genesis.shards.flatMap(({ shardId, replicas }) =>
      replicas
        .filter((one) => one.nodeId === nodeId)
        .map((one) => [shardId, one.replicaId] as const),
    );
    this.#directories = new ShardDirectories(environment.disk, directory, new Map(firstIds));
  }

  /**
   * Opens all replicas of this node, side by side, and follows the topology from then on. A damaged
   * log, or an engine that does not open, leaves a replica that only says why.
   */
  async open(): Promise<void> {
    const { shards } = this.#options.genesis;
    await Promise.all(
      shards.map((shard) => this.#inTurn(shard.groupId, () => this.#openFirst(shard))),
    );
    this.#stopWatching = this.#options.view.onChange((document) => this.#follow(document));
    const document = this.#options.view.current();
    if (document !== undefined) this.#follow(document);
  }

  /** Waits for what is under way; the host closes the replicas themselves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    await Promise.all(this.#working.values());
  }

  #follow(document: TopologyDocument): void {
    for (const shard of document.shards) {
      if (this.#followed.get(shard.groupId) === shard) continue;
      this.#followed.set(shard.groupId, shard);
      void this.#inTurn(shard.groupId, () => this.#reconcile(shard));
    }
  }

  /** One thing at a time for each group. What fails is said, and stands in the replica's status. */
  #inTurn(groupId: number, work: () => Promise<void>): Promise<void> {
    const before = this.#working.get(groupId) ?? Promise.resolve();
    const now = before
      .then(() => (this.#closed ? undefined : work()))
      .catch((error: unknown) => {
        this.#options.logger.error(
          { groupId, error: String(error) },
          'a replica is not as it should',
        );
      });
    this.#working.set(groupId, now);
    return now;
  }

  async #openFirst(shard: ShardEntry): Promise<void> {
    const { genesis, logStore } = this.#options;
    const { groupId, replicas } = shard;
    const first = groupGenesis(genesis, this.#self, groupId, replicas);
    if (first !== undefined && this.#heldIdOf(groupId) === undefined) {
      await logStore.createGroup(first).catch(ignoreUsedBefore);
    }
    if (this.#heldIdOf(groupId) !== undefined) await this.#openHeld(shard);
  }

  async #reconcile(shard: ShardEntry): Promise<void> {
    const document = this.#options.view.current();
    const group = document && replicaGroup(document, shard.groupId);
    if (document === undefined || group === undefined) return;
    const held = this.#heldIdOf(shard.groupId);
    const added = this.#addedHere(document, group);
    if (added !== undefined && added.replicaId > (held ?? 0)) {
      await this.#replace(shard, added);
    } else if (held !== undefined && hasLeft(group, held)) {
      await this.#remove(shard, held);
    } else if (held === undefined) {
      const listed = group.replicas.find(({ nodeId }) => nodeId === this.#self.nodeId);
      if (listed !== undefined) this.#lost(shard, listed.replicaId);
      else this.#options.removed(shard.groupId);
    }
    await this.#directories.sweep(shard.shardId, (replicaId) => hasLeft(group, replicaId));
  }

  /** The replica that the group is to get on this node, in this very store. */
  #addedHere(document: TopologyDocument, { change }: ReplicaGroup): ReplicaEntry | undefined {
    const isHere = change?.add?.nodeId === this.#self.nodeId && change.stage !== 'cancelling';
    return isHere && isKnownStore(document, this.#self) ? change.add : undefined;
  }

  /** Id of the replica whose log is here, whole or damaged; 0 for a damaged one of unknown id. */
  #heldIdOf(groupId: number): number | undefined {
    const { logStore } = this.#options;
    const of = (one: { readonly groupId: number }): boolean => one.groupId === groupId;
    return (logStore.groups().find(of) ?? logStore.damaged().find(of))?.replicaId;
  }

  async #replace(shard: ShardEntry, { replicaId }: ReplicaEntry): Promise<void> {
    const { host, logStore, logger, genesis } = this.#options;
    const { shardId, groupId } = shard;
    logger.info({ shardId, groupId, replicaId }, 'a new replica comes to this node');
    this.#absent(shard, replicaId, 'it is still being opened');
    await handOverGroup(host, groupId);
    await host.removeGroup(groupId);
    try {
      await logStore.replaceGroup(blankGenesis(genesis, groupId, replicaId));
    } catch (error) {
      ignoreUsedBefore(error);
      return this.#lost(shard, replicaId);
    }
    await this.#openHeld(shard);
  }

  async #remove(shard: ShardEntry, replicaId: number): Promise<void> {
    const { host, logStore, logger, removed } = this.#options;
    const { shardId, groupId } = shard;
    logger.info({ shardId, groupId, replicaId }, 'a replica leaves this node');
    removed(groupId);
    await host.removeGroup(groupId);
    await logStore.removeGroup(groupId);
  }

  /** Opens the replica whose log is here. */
  async #openHeld(shard: ShardEntry): Promise<void> {
    const { logStore, host, environment, createEngine, nodeId, opened } = this.#options;
    const { shardId, groupId } = shard;
    const damage = logStore.damaged().find((one) => one.groupId === groupId);
    if (damage !== undefined) {
      const fault = `${damage.reason}: ${damage.message}`;
      return this.#absent(shard, damage.replicaId, `${fault}; ${resetAdvice(shard, nodeId)}`);
    }
    const genesis = logStore.groups().find((one) => one.groupId === groupId) as GroupGenesis;
    let replica: LocalReplica | undefined;
    const engine = createEngine(
      this.#shardGenesis(shardId, shard),
      this.#directories.pathOf(shardId, genesis.replicaId),
      (error) => replica?.fail(error),
    );
    try {
      const { leases } = this.#options.genesis.settings;
      const options = { shardId, nodeId, genesis, engine, host, logStore, environment, leases };
      replica = await LocalReplica.open(options);
      opened(groupId, replica);
    } catch (error) {
      await engine.close().catch(() => undefined);
      this.#absent(shard, genesis.replicaId, String(error));
    }
  }

  #shardGenesis(shardId: number, shard: ShardEntry): ShardGenesis {
    const { genesis } = this.#options;
    const first = genesis.shards.find((one) => one.shardId === shardId);
    return shardGenesis(genesis, first ?? shard);
  }

  #lost(shard: ShardEntry, replicaId: number): void {
    const advice = resetAdvice(shard, this.#self.nodeId);
    this.#absent(shard, replicaId, `its log is not here any more; ${advice}`);
  }

  #absent({ shardId, groupId }: ShardEntry, replicaId: number, fault: string): void {
    const { nodeId, logger, opened } = this.#options;
    logger.warn({ shardId, groupId, replicaId, fault }, 'a replica does not take part');
    opened(groupId, absentReplica({ shardId, groupId, replicaId, nodeId, fault }));
  }
}

/** A replica id that the store has had before is gone for ever (M8): no other error is ignored. */
function ignoreUsedBefore(error: unknown): void {
  if (!isFlotillaError(error) || error.reason !== 'SETTINGS_MISMATCH') throw error;
}

function resetAdvice({ shardId }: ShardEntry, nodeId: number): string {
  return `flotilla replica reset --shard ${shardId} --node ${nodeId} gives the node a new one`;
}
