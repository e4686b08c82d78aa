/**
 * The directories of the engines of this node, one a replica and not one a shard: a new replica
 * begins with nothing, whatever is left of the one before it, and what is damaged stays as it was
 * found until a majority can do without it.
 *
 *     shards/3       the replica that the cluster was made with
 *     shards/3.7     replica 7 of shard 3, that came later
 */
import type { Disk } from '../shared/environment.js';

const NAME = /^(\d+)(?:\.(\d+))?$/;

export class ShardDirectories {
  readonly #disk: Pick<Disk, 'list' | 'remove'>;
  readonly #path: string;
  /** Id of the replica that this node had from the beginning, by shard. */
  readonly #firstIds: ReadonlyMap<number, number>;

  constructor(
    disk: Pick<Disk, 'list' | 'remove'>,
    path: string,
    firstIds: ReadonlyMap<number, number>,
  ) {
    this.#disk = disk;
    this.#path = path;
    this.#firstIds = firstIds;
  }

  pathOf(shardId: number, replicaId: number): string {
    const isFirst = this.#firstIds.get(shardId) === replicaId;
    return `${this.#path}/${shardId}${isFirst ? '' : `.${replicaId}`}`;
  }

  /** Deletes those of a shard whose replica has left for ever. The rest stays untouched. */
  async sweep(shardId: number, hasLeft: (replicaId: number) => boolean): Promise<void> {
    for (const name of await this.#disk.list(this.#path)) {
      const [, shard, replica] = NAME.exec(name) ?? [];
      if (Number(shard) !== shardId) continue;
      const replicaId = replica === undefined ? this.#firstIds.get(shardId) : Number(replica);
      if (replicaId !== undefined && hasLeft(replicaId)) {
        await this.#disk.remove(`${this.#path}/${name}`);
      }
    }
  }
}
