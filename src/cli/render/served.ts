/** Which replicas a read was answered by, and how far behind they may be. */
import type { Consistency, ServedShard } from '../../client/index.js';
import { formatDuration } from './format.js';

/** Gathers what the answers of one command tell. */
export class ServedShards {
  readonly #byShard = new Map<number, ServedShard>();

  /** Of each shard the oldest answer is kept: a scroll asks it once for every page. */
  readonly note = (served: readonly ServedShard[]): void => {
    for (const answer of served) {
      const before = this.#byShard.get(answer.shardId);
      if (before === undefined || ageOf(answer) >= ageOf(before)) {
        this.#byShard.set(answer.shardId, answer);
      }
    }
  };

  /** By shard, for scripts. */
  get list(): readonly ServedShard[] {
    return [...this.#byShard.values()].sort((a, b) => a.shardId - b.shardId);
  }

  /** A line for people; nothing for reads that leaders answer, which are not behind. */
  lineFor(consistency: Consistency | undefined): string {
    const isOfLeaders = consistency === undefined || consistency === 'strong';
    if (isOfLeaders || consistency === 'leased' || this.#byShard.size === 0) return '';
    const nodeIds = [...new Set(this.list.map(({ nodeId }) => nodeId))].sort((a, b) => a - b);
    const nodes = `${nodeIds.length === 1 ? 'node' : 'nodes'} ${nodeIds.join(', ')}`;
    return `answered by ${nodes}, ${this.#ageText()}\n`;
  }

  #ageText(): string {
    const untold = this.list.filter(({ ageMs }) => ageMs === undefined);
    if (untold.length > 0) {
      const shardIds = untold.map(({ shardId }) => shardId).join(', ');
      return `how old is not known of shard ${shardIds}`;
    }
    // An upper bound is not rounded down.
    return `at most ${formatDuration(Math.ceil(Math.max(...this.list.map(ageOf))))} old`;
  }
}

/** What nobody knows may be as old as anything. */
function ageOf({ ageMs = Number.POSITIVE_INFINITY }: ServedShard): number {
  return ageMs;
}
