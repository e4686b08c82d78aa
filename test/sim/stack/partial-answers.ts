/**
 * Goal: a search that may do without shards says which, and misses nothing but what those had.
 *
 * Method: the logs tell which shard has each version of a record, and a record stays where it was
 * written until an entry takes it away. So a hit of a shard that has not answered is a lie, and
 * what is not found is excused only where the answer says that shards are missing, and the record's
 * shard is not one of those that answered (M-53).
 */
import type { SearchAnswer } from '../../../src/server/backend.js';
import type { Version } from '../../../src/shared/types.js';
import type { Findings } from './findings.js';
import type { Floor, Observed } from './register-oracle.js';

export interface PartialCounts {
  /** Answers to searches that might do without shards, and those that did. */
  allowed: number;
  degraded: number;
}

/** Whose hits an answer has. */
export interface Coverage {
  /** Then nothing may be missing. */
  readonly isWhole: boolean;
  readonly answering: ReadonlySet<number>;
}

export class PartialAnswers {
  readonly counts: PartialCounts = { allowed: 0, degraded: 0 };
  readonly #findings: Findings;
  /** By key: the shard whose log has each version. */
  readonly #shards = new Map<string, Map<Version, number>>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** An entry of the shard's log has written the record. */
  logged(key: string, version: Version, shardId: number): void {
    const known = this.#shards.get(key) ?? new Map<Version, number>();
    this.#shards.set(key, known.set(version, shardId));
  }

  /** Holds against itself what an answer says of its shards. */
  coverageOf(
    { shards, degraded, served }: Pick<SearchAnswer, 'shards' | 'degraded' | 'served'>,
    isAllowed: boolean,
  ): Coverage {
    const { total, ok, failed } = shards;
    const answering = new Set(served.map(({ shardId }) => shardId));
    const isSum = ok === answering.size && ok + failed.length === total;
    const isApart = failed.every((shardId) => !answering.has(shardId));
    const isTold = degraded === failed.length > 0;
    if (!isSum || !isApart || !isTold || ok === 0 || (degraded && !isAllowed)) {
      const said = JSON.stringify({ isAllowed, degraded, shards, answering: [...answering] });
      this.#findings.report('partial answers say so', said);
    }
    if (isAllowed) this.counts.allowed++;
    if (degraded) this.counts.degraded++;
    return { isWhole: !degraded, answering };
  }

  /** A hit is of a shard that has answered. */
  judgeHit({ answering }: Coverage, key: string, { version }: Observed): void {
    const shardId = this.#shards.get(key)?.get(version);
    if (shardId === undefined || answering.has(shardId)) return;
    const message = `${key} of shard ${shardId} is found by ${[...answering].join(', ')}`;
    this.#findings.report('partial answers say so', message);
  }

  /** Of the floors of a key that is not found, those that the answer is held against. */
  owed(
    { isWhole, answering }: Coverage,
    key: string,
    floors: readonly (Floor | undefined)[],
  ): readonly (Floor | undefined)[] {
    if (isWhole) return floors;
    return floors.filter((floor) => {
      const shardId = floor && this.#shards.get(key)?.get(floor.version);
      return shardId === undefined || answering.has(shardId);
    });
  }
}
