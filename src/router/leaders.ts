/** Who leads which shard, and who has gone silent, as far as this router has heard. Only hints. */
export class Leaders {
  readonly #leaders = new Map<number, number>();
  readonly #silent = new Map<number, Set<number>>();
  readonly #elections = new Map<number, number>();
  readonly #listeners = new Map<number, Set<() => void>>();

  nodeOf(shardId: number): number | undefined {
    return this.#leaders.get(shardId);
  }

  /** The node answered as the leader, or is named as such by another replica. */
  remember(shardId: number, nodeId: number): void {
    this.#leaders.set(shardId, nodeId);
    this.noteHeard(shardId, nodeId);
  }

  /**
   * The node has begun to lead, as this node's own replica sees it. Unlike what other replicas
   * name, that is news: those who wait for a leader are told.
   */
  elected(shardId: number, nodeId: number): void {
    this.remember(shardId, nodeId);
    this.#elections.set(shardId, this.electionsOf(shardId) + 1);
    for (const listener of [...(this.#listeners.get(shardId) ?? [])]) listener();
  }

  /** How many elections of the shard were told so far. */
  electionsOf(shardId: number): number {
    return this.#elections.get(shardId) ?? 0;
  }

  /** Calls `listener` at each election of the shard from now on. Returns what stops it. */
  onElected(shardId: number, listener: () => void): () => void {
    const listeners = this.#listeners.get(shardId) ?? new Set();
    this.#listeners.set(shardId, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** The node has answered, whatever it said. */
  noteHeard(shardId: number, nodeId: number): void {
    this.#silent.get(shardId)?.delete(nodeId);
  }

  /** Drops the hint if it still names this node; others may have learnt better meanwhile. */
  forget(shardId: number, nodeId: number): void {
    if (this.#leaders.get(shardId) === nodeId) this.#leaders.delete(shardId);
  }

  /**
   * The node does not answer, and the shard's other replicas no longer count on it. Calls pass it
   * by until it answers, or one of them names it as leader again.
   */
  markSilent(shardId: number, nodeId: number): void {
    this.forget(shardId, nodeId);
    const silent = this.#silent.get(shardId);
    if (silent === undefined) this.#silent.set(shardId, new Set([nodeId]));
    else silent.add(nodeId);
  }

  isSilent(shardId: number, nodeId: number): boolean {
    return this.#silent.get(shardId)?.has(nodeId) === true;
  }
}
