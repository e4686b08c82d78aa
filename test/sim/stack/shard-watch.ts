/**
 * Goal: every replica answers, holds and finds what its log says, at each step. Method: the replay
 * of a shard is ahead of all its replicas; each is held against it after all that it applies.
 */
import type { CommandResult, Engine, ShardGenesis } from '../../../src/engine/engine.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import { doubleOwner } from './double-owner.js';
import type { Findings } from './findings.js';
import { type CheckScope, differenceOf } from './replica-check.js';
import { type RecordChange, ShardReplay, textOfResult } from './shard-replay.js';

/** A replica of a shard that runs. */
export interface WatchedReplica {
  readonly engine: Engine;
  readonly genesis: ShardGenesis;
  readonly nodeId: number;
  /** Whether its process can do anything. */
  readonly isAlive: () => boolean;
  /** Whether its store can be read without taking a failure away from somebody else. */
  readonly canRead: () => boolean;
}

/** Of an entry whose router had an older table. */
const STALE = 'refused STALE_TOPOLOGY';
/** One record is looked at closely after each apply, all of them after so many. */
const WHOLE_EVERY = 4;

export class ShardWatch {
  readonly #findings: Findings;
  readonly #onChange: (change: RecordChange, shardId: number) => void;
  readonly #replays = new Map<number, ShardReplay>();
  /** Up to where the replicas that run have applied their logs. */
  readonly #running = new Map<WatchedReplica, number>();
  /** Replicas in the middle of an apply. */
  readonly #applying = new Set<WatchedReplica>();
  /** How often a replica was held against the log, and renewed a graph meanwhile (H3). */
  readonly counts = { checks: 0, renewing: 0 };
  /** Times that a shard came to own something else; what was refused for that, at replicas. */
  readonly ownership = { changes: 0, staleWrites: 0, staleReads: 0 };

  constructor(findings: Findings, onChange: (change: RecordChange, shardId: number) => void) {
    this.#findings = findings;
    this.#onChange = onChange;
  }

  /** Of all shards that anything was applied to. */
  get replays(): Iterable<ShardReplay> {
    return this.#replays.values();
  }

  /** A replica is about to apply entries, which are committed. */
  applying(replica: WatchedReplica, entries: readonly CommittedEntry[]): void {
    const replay = this.#replayOf(replica);
    const { ownershipVersion } = replay.latest;
    replay.take(entries);
    this.#applying.add(replica);
    const changes = replay.latest.ownershipVersion - ownershipVersion;
    this.ownership.changes += changes;
    if (changes > 0) this.#judgeOwnership(replica, replay);
  }

  /** It has applied them, and applies nothing else until this resolves. */
  async applied(
    replica: WatchedReplica,
    entries: readonly CommittedEntry[],
    results: readonly CommandResult[],
    lastIndex: number,
  ): Promise<void> {
    const replay = this.#replayOf(replica);
    this.#running.set(replica, lastIndex);
    this.#applying.delete(replica);
    entries.forEach(({ index }, at) => {
      const [result, expected] = [textOfResult(results[at]), replay.resultOf(index)];
      if (result === STALE) this.ownership.staleWrites++;
      if (result === expected) return;
      const message = `entry ${index} gives ${result} on ${nameOf(replica)}, not ${expected}`;
      this.#findings.report('apply is what the log says', message);
    });
    if (entries.length === 0) return;
    const turn = ++this.counts.checks;
    await this.#check(replica, lastIndex, turn % WHOLE_EVERY === 0 ? 'all' : turn);
    if (await isRenewing(replica)) this.counts.renewing++;
  }

  /** The replica is at another index without having applied what leads there. */
  moved(replica: WatchedReplica, lastIndex: number): void {
    this.#running.set(replica, lastIndex);
  }

  closed(replica: WatchedReplica): void {
    this.#running.delete(replica);
  }

  /** Looks at all records of all replicas that run and are not just applying something. */
  async checkAll(): Promise<void> {
    for (const [replica, lastIndex] of this.#running) {
      if (replica.isAlive() && !this.#applying.has(replica))
        await this.#check(replica, lastIndex, 'all');
    }
  }

  async #check(
    replica: WatchedReplica,
    lastIndex: number,
    closely: CheckScope['closely'],
  ): Promise<void> {
    const { engine } = replica;
    const scope = { closely, reads: replica.canRead() };
    const difference = await differenceOf(engine, this.#replayOf(replica), lastIndex, scope);
    if (difference === '') return;
    const message = `${nameOf(replica)} at ${lastIndex}: ${difference}`;
    this.#findings.report('replicas hold their log', message);
  }

  #replayOf({ genesis }: WatchedReplica): ShardReplay {
    const { shardId } = genesis;
    const onChange = (change: RecordChange): void => this.#onChange(change, shardId);
    const replay = this.#replays.get(shardId) ?? new ShardReplay(genesis, onChange);
    this.#replays.set(shardId, replay);
    return replay;
  }

  /** What a shard gives up it has no records of (O2), and nobody else may have it yet (O3). */
  #judgeOwnership(replica: WatchedReplica, { stray }: ShardReplay): void {
    if (stray !== undefined) {
      const message = `${nameOf(replica)} holds ${stray.id} of ${stray.tenant}, which it gave away`;
      this.#findings.report('nothing is left behind', message);
    }
    const both = doubleOwner(this.#replays);
    if (both !== '') this.#findings.report('one owner', both);
  }
}

/** Not where it is closed, or has stopped. */
async function isRenewing({ engine }: WatchedReplica): Promise<boolean> {
  const stats = await engine.stats().catch(() => undefined);
  return stats?.collections.some((collection) => collection.isRenewing) ?? false;
}

function nameOf({ genesis, nodeId }: WatchedReplica): string {
  return `the replica of shard ${genesis.shardId} on node ${nodeId}`;
}
