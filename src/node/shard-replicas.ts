/**
 * The shard replicas of this node follow the topology: opened at the start as the log store holds
 * them, then opened, replaced and removed as the document says.
 *
 * The document may be an old one, as this node sees them all again at each start. A replica is
 * removed only when a document that knew it no longer lists it, which is final. One is begun only
 * where the document adds it, to this very store, under an id that the store has not had (the store
 * refuses others, M8); if it takes the place of another, only after a look at the newest document,
 * because a change that was taken back must not cost the replica that was to be replaced.
 *
 * A replica that stops over its own store is opened again after a while, and one whose state is
 * lost gets it back or is replaced (P-8, P-10, docs/adr/0010). What stopped over a broken invariant
 * stays as it is: that is a bug, and somebody has to see it. So does a damaged log (M8).
 */
import type { Engine, ShardGenesis } from '../engine/engine.js';
import type { ReplicaHost } from '../replica/host.js';
import { LocalReplica } from '../replica/local-replica.js';
import type { ShardReplica } from '../replica/replica.js';
import { absentReplica } from '../replica/status-only-replica.js';
import { type Environment, sleep } from '../shared/environment.js';
import { type FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import type { SnapshotFiles } from '../storage/snapshot-files.js';
import type { ReplicaEntry, ShardEntry, TopologyDocument } from '../topology/document.js';
import { hasLeft, replicaGroup } from '../topology/replica-group.js';
import type { TopologyView } from '../topology/view.js';
import { Reopenings } from './reopenings.js';
import { ShardDirectories } from './shard-directories.js';
import {
  blankGenesis,
  groupGenesis,
  handOverGroup,
  heldReplicaId,
  ignoreUsedBefore,
  isKnownStore,
  shardGenesis,
} from './shards.js';
import { isPassing, openSoundEngine, StateLostError } from './sound-engine.js';

const REFRESH_PAUSE_MS = 500;

export interface ShardReplicasOptions {
  readonly nodeId: number;
  /** What the cluster was made with. */
  readonly genesis: TopologyDocument;
  readonly view: TopologyView;
  readonly host: ReplicaHost;
  readonly logStore: LogStore;
  readonly environment: Environment;
  readonly logger: Logger;
  /** @default none: a state that is lost is made again from the log alone */
  readonly snapshotFiles?: SnapshotFiles;
  /** Resolves when the view has every change that was complete before the call. */
  readonly refreshView: () => Promise<void>;
  /** Has a replica replaced by a new one on this node. Rejects where that cannot be begun now. */
  readonly replaceLost: (groupId: number, replicaId: number) => Promise<void>;
  /** Where the engines' directories are. */
  readonly directory: string;
  readonly createEngine: (
    genesis: ShardGenesis,
    directory: string,
    onLost: (error: FlotillaError) => void,
  ) => Engine;
  /** Told of each replica as it is there, so that a small shard serves while a big one loads. */
  readonly opened: (groupId: number, replica: ShardReplica) => void;
  /** A leader here has deleted records that had expired. */
  readonly onExpired?: (shardId: number, records: number) => void;
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
  readonly #reopenings: Reopenings;
  /** Why replicas of this node do not take part, by group. */
  readonly #faults = new Map<number, string>();
  #stopWatching: () => void = () => undefined;
  #closed = false;

  constructor(options: ShardReplicasOptions) {
    const { nodeId, genesis, environment, logStore, directory } = options;
    this.#options = options;
    this.#self = { nodeId, storeId: logStore.identity.storeId };
    this.#reopenings = new Reopenings(environment);
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

  /** The host's word that a replica has stopped by itself. Those of other groups are ignored. */
  noteFault(groupId: number, error: FlotillaError): void {
    const shard = this.#shardOf(groupId);
    if (shard !== undefined) void this.#inTurn(groupId, () => this.#recover(shard, error));
  }

  /** Why replicas of this node do not take part, a sentence each. */
  get faults(): readonly string[] {
    return [...this.#faults.values()];
  }

  /** Waits for what is under way; the host closes the replicas themselves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    this.#reopenings.close();
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
    const isHeld = this.#heldIdOf(shard.groupId) !== undefined;
    if (isHeld && this.#comingHere(shard.groupId) !== undefined) await this.#seeNewest();
    const document = this.#options.view.current();
    const group = document && replicaGroup(document, shard.groupId);
    if (document === undefined || group === undefined) return;
    const listedHere = (): ReplicaEntry | undefined =>
      group.replicas.find(({ nodeId }) => nodeId === this.#self.nodeId);
    const held = this.#heldIdOf(shard.groupId);
    const coming = this.#comingHere(shard.groupId);
    if (coming !== undefined) {
      await this.#replace(shard, coming);
    } else if (held !== undefined && hasLeft(group, held)) {
      await this.#remove(shard, held);
      const left = listedHere();
      if (left !== undefined) this.#lost(shard, left.replicaId);
    } else if (held === undefined) {
      const listed = listedHere();
      if (listed !== undefined) this.#lost(shard, listed.replicaId);
      else this.#options.removed(shard.groupId);
    }
    await this.#directories.sweep(shard.shardId, (replicaId) => hasLeft(group, replicaId));
  }

  /** Waits as long as it takes: what cannot see the topology must not follow it. */
  async #seeNewest(): Promise<void> {
    const { environment, logger, refreshView } = this.#options;
    while (!this.#closed) {
      try {
        return await refreshView();
      } catch (error) {
        logger.debug({ error: String(error) }, 'waiting for the newest topology');
      }
      await sleep(environment.scheduler, REFRESH_PAUSE_MS);
    }
  }

  /** The replica that the group is to get here, in this very store, and that is not here yet. */
  #comingHere(groupId: number): ReplicaEntry | undefined {
    const document = this.#options.view.current();
    if (document === undefined || !isKnownStore(document, this.#self)) return undefined;
    const change = replicaGroup(document, groupId)?.change;
    if (change?.add?.nodeId !== this.#self.nodeId || change.stage === 'cancelling') {
      return undefined;
    }
    return change.add.replicaId > (this.#heldIdOf(groupId) ?? 0) ? change.add : undefined;
  }

  #heldIdOf(groupId: number): number | undefined {
    return heldReplicaId(this.#options.logStore, groupId);
  }

  #shardOf(groupId: number): ShardEntry | undefined {
    const { view, genesis } = this.#options;
    return (view.current() ?? genesis).shards.find((one) => one.groupId === groupId);
  }

  async #replace(shard: ShardEntry, { replicaId }: ReplicaEntry): Promise<void> {
    const { host, logStore, logger, genesis } = this.#options;
    const { shardId, groupId } = shard;
    this.#reopenings.forget(groupId);
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
    this.#reopenings.forget(groupId);
    removed(groupId);
    this.#faults.delete(groupId);
    await host.removeGroup(groupId);
    await logStore.removeGroup(groupId);
  }

  /** Opens the replica whose log is here. `stoppedBy` is what it stopped over, if it ran before. */
  async #openHeld(shard: ShardEntry, stoppedBy?: FlotillaError): Promise<void> {
    const { logStore, nodeId } = this.#options;
    const { groupId } = shard;
    const damage = logStore.damaged().find((one) => one.groupId === groupId);
    if (damage !== undefined) {
      const fault = `${damage.reason}: ${damage.message}`;
      return this.#absent(shard, damage.replicaId, `${fault}; ${resetAdvice(shard, nodeId)}`);
    }
    const genesis = logStore.groups().find((one) => one.groupId === groupId) as GroupGenesis;
    const { replicaId } = genesis;
    try {
      await this.#openWhole(shard, genesis, stoppedBy);
      this.#reopenings.succeeded(groupId);
    } catch (error) {
      if (error instanceof StateLostError) this.#replaceLater(shard, replicaId, error.message);
      else if (isFlotillaError(error) && isPassing(error)) this.#openLater(shard, replicaId, error);
      else this.#absent(shard, replicaId, this.#lastingFault(shard, error));
    }
  }

  /** Rejects with LOG_DAMAGED where the replica stopped over damage and its state has none. */
  async #openWhole(
    shard: ShardEntry,
    genesis: GroupGenesis,
    stoppedBy: FlotillaError | undefined,
  ): Promise<void> {
    const { logStore, host, environment, logger, nodeId, opened, snapshotFiles } = this.#options;
    const { shardId, groupId } = shard;
    const path = this.#directories.pathOf(shardId, genesis.replicaId);
    let replica: LocalReplica | undefined;
    const { engine, isMended } = await openSoundEngine({
      groupId,
      createEngine: () => this.#createEngine(shard, path, (error) => replica?.fail(error)),
      path,
      disk: environment.disk,
      log: logStore.reader(groupId),
      files: snapshotFiles,
      logger,
    });
    try {
      // Damage that is not in the state is in the log, and a damaged log does not vote.
      if (stoppedBy?.reason === 'LOG_DAMAGED' && !isMended) throw stoppedBy;
      const { leases } = this.#options.genesis.settings;
      const onExpired = (records: number): void => this.#options.onExpired?.(shardId, records);
      const options = { shardId, nodeId, genesis, engine, host, logStore, environment, leases };
      replica = await LocalReplica.open({ ...options, onExpired });
      this.#faults.delete(groupId);
      opened(groupId, replica);
    } catch (error) {
      await engine.close().catch(() => undefined);
      throw error;
    }
  }

  #createEngine(shard: ShardEntry, path: string, onLost: (error: FlotillaError) => void): Engine {
    return this.#options.createEngine(this.#shardGenesis(shard.shardId, shard), path, onLost);
  }

  /** A replica has stopped; its log and the node go on. */
  async #recover(shard: ShardEntry, error: FlotillaError): Promise<void> {
    const { host, logStore } = this.#options;
    const { groupId } = shard;
    const group = host.group(groupId);
    const isHelped = isPassing(error) || error.reason === 'LOG_DAMAGED';
    if (group?.status().fault === undefined || logStore.poisoned !== undefined) return;
    if (!isHelped) {
      this.#faults.set(groupId, `shard ${shard.shardId} on this node: ${error.message}`);
      return;
    }
    await host.closeGroup(groupId).catch(() => undefined);
    this.#openLater(shard, group.replicaId, error);
  }

  #openLater(shard: ShardEntry, replicaId: number, error: FlotillaError): void {
    const { groupId } = shard;
    const { host, logStore } = this.#options;
    const open = async (): Promise<void> => {
      const isOpen = host.group(groupId) !== undefined;
      if (isOpen || this.#heldIdOf(groupId) !== replicaId || logStore.poisoned) return;
      await this.#openHeld(shard, error);
    };
    const next = this.#reopenings.plan(groupId, () => void this.#inTurn(groupId, open));
    this.#absent(shard, replicaId, `${error.reason}: ${error.message}; opened again: ${next}`);
  }

  /** Outside the group's turn, which the new replica needs to come. */
  #replaceLater(shard: ShardEntry, replicaId: number, loss: string, obstacle?: string): void {
    const { groupId } = shard;
    const { logger, replaceLost } = this.#options;
    const isWanted = (): boolean => !this.#closed && this.#heldIdOf(groupId) === replicaId;
    const replace = async (): Promise<void> => {
      if (!isWanted()) return;
      try {
        await replaceLost(groupId, replicaId);
        logger.warn({ groupId, replicaId }, 'a replica without a state is being replaced');
      } catch (error) {
        const { message } = toFlotillaError(error);
        if (isWanted()) this.#replaceLater(shard, replicaId, loss, message);
      }
    };
    const next = this.#reopenings.plan(groupId, () => void replace());
    const why = obstacle === undefined ? '' : ` (before: ${obstacle})`;
    const fault = `LOG_DAMAGED: ${loss}; a new replica is asked for: ${next}${why}`;
    this.#absent(shard, replicaId, fault);
  }

  #lastingFault(shard: ShardEntry, error: unknown): string {
    if (!isFlotillaError(error)) return String(error);
    const fault = `${error.reason}: ${error.message}`;
    if (error.reason !== 'LOG_DAMAGED') return fault;
    return `${fault}; ${resetAdvice(shard, this.#self.nodeId)}`;
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
    this.#faults.set(groupId, `shard ${shardId} on this node: ${fault}`);
    logger.warn({ shardId, groupId, replicaId, fault }, 'a replica does not take part');
    opened(groupId, absentReplica({ shardId, groupId, replicaId, nodeId, fault }));
  }
}

function resetAdvice({ shardId }: ShardEntry, nodeId: number): string {
  return `flotilla replica reset --shard ${shardId} --node ${nodeId} gives the node a new one`;
}
