/**
 * Drives collections that are being created or dropped to their end. The state is in the topology
 * document, the steps are idempotent, and only the topology leader takes them: whoever leads next
 * goes on where the last one stopped.
 */
import { defined } from '../shared/assert.js';
import type { CreateCollectionCommand, DropCollectionCommand } from '../shared/codec/command.js';
import type { Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import type { CollectionEntry, ShardEntry, TopologyDocument } from './document.js';
import { NO_PLACEMENTS, ownershipsOf } from './placements.js';
import { checkAgainAndAgain } from './recurring-check.js';
import type { TopologyGroup } from './topology-group.js';
import type { TopologyView } from './view.js';

export interface CollectionDriverOptions {
  readonly view: TopologyView;
  readonly topology: TopologyGroup;
  readonly environment: Environment;
  readonly logger: Logger;
  /** Puts a command through a shard's log, again and again until it is applied. */
  readonly proposeToShard: (
    shardId: number,
    command: CreateCollectionCommand | DropCollectionCommand,
    timeoutMs: number,
  ) => Promise<void>;
}

const STEP_TIMEOUT_MS = 5_000;
const CHECK_PERIOD_MS = 500;

export class CollectionDriver {
  readonly #options: CollectionDriverOptions;
  readonly #driving = new Set<number>();
  readonly #stopChecks: () => void;

  constructor(options: CollectionDriverOptions) {
    this.#options = options;
    const { view, environment } = options;
    const when = { view, scheduler: environment.scheduler, periodMs: CHECK_PERIOD_MS };
    this.#stopChecks = checkAgainAndAgain(when, () => this.#check());
  }

  close(): void {
    this.#stopChecks();
  }

  #check(): void {
    const document = this.#options.view.current();
    if (document === undefined || !this.#options.topology.isLeader) return;
    for (const collection of document.collections) {
      if (collection.state === 'active' || this.#driving.has(collection.collectionId)) continue;
      this.#driving.add(collection.collectionId);
      this.#drive(collection, document)
        .catch((error: unknown) => {
          this.#options.logger.warn(
            { collectionId: collection.collectionId, error: String(error) },
            'a collection change is not through yet; it is tried again',
          );
        })
        .finally(() => this.#driving.delete(collection.collectionId));
    }
  }

  async #drive(collection: CollectionEntry, document: TopologyDocument): Promise<void> {
    const { shards, placements = NO_PLACEMENTS } = document;
    const { collectionId, config, placementId } = collection;
    const creating = collection.state === 'creating';
    const placement = placements.entries.find((one) => one.placementId === placementId);
    const shardIds = shards.map(({ shardId }) => shardId);
    const owned = placement && ownershipsOf(placement, shardIds);
    const propose = ({ shardId }: ShardEntry): Promise<void> =>
      this.#options.proposeToShard(
        shardId,
        creating
          ? {
              kind: 'createCollection',
              collectionId,
              config,
              ...(owned !== undefined && {
                ownership: defined(owned.get(shardId), `what shard ${shardId} owns`),
              }),
            }
          : { kind: 'dropCollection', collectionId },
        STEP_TIMEOUT_MS,
      );
    await Promise.all(shards.map(propose));
    await this.#options.topology.propose(
      { kind: creating ? 'finishCreateCollection' : 'finishDropCollection', collectionId },
      { timeoutMs: STEP_TIMEOUT_MS },
    );
  }
}
