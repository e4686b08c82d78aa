// Goal: whatever crashes, is cut off or gets lost: an answer that was given holds, and replicas at
// the same index are equal (S-40, S-41, S-43, S-45). Method: seeded random runs in virtual time.
import { describe, expect, it } from 'vitest';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import type { ProposalOutcome } from '../../../src/replica/proposals.js';
import { defined } from '../../../src/shared/assert.js';
import {
  ELECTION_TIMEOUT_MS,
  ToyCluster,
  type ToyClusterOptions,
  type ToyNode,
} from './toy-cluster.js';

interface Proposal {
  readonly text: string;
  outcome: ProposalOutcome<string> | undefined;
}

class RandomRun {
  readonly #cluster: ToyCluster;
  /** Then nothing could replay what is lost of synced batches. */
  readonly #isLogCut: boolean;
  readonly #proposals: Proposal[] = [];
  /** The text of each index, from whichever replica applied it first. */
  readonly #history = new Map<number, string>();

  static async start(options: ToyClusterOptions): Promise<RandomRun> {
    return new RandomRun(await ToyCluster.start(options), options.compaction !== undefined);
  }

  private constructor(cluster: ToyCluster, isLogCut: boolean) {
    this.#cluster = cluster;
    this.#isLogCut = isLogCut;
  }

  get applied(): number {
    return this.#proposals.filter(({ outcome }) => outcome?.kind === 'applied').length;
  }

  async step(): Promise<void> {
    const cluster = this.#cluster;
    const dice = this.#random();
    if (dice < 0.55) this.#proposeSomewhere();
    else if (dice < 0.65) await this.#crash();
    else if (dice < 0.8) await this.#bootOne();
    else if (dice < 0.86) cluster.isolate(this.#pick(cluster.nodes).nodeId);
    else if (dice < 0.9) this.#cutOneWay();
    else if (dice < 0.95) cluster.heal();
    else if (dice < 0.97) this.#transferSomewhere();
    else this.#pick(cluster.nodes).diskDelayMs = this.#random() < 0.5 ? 0 : 300;
    cluster.lossShare = this.#random() < 0.2 ? 0.2 : 0;
    cluster.delayShare = this.#random() < 0.2 ? 0.3 : 0;
    const isBusy = this.#random() < 0.6;
    await cluster.environment.advance(isBusy ? this.#random() * 10 : this.#random() * 2_000);
    this.#checkReplicas();
  }

  /** Lets everything come back and settle; then every promise must have been kept. */
  async finish(): Promise<void> {
    const cluster = this.#cluster;
    cluster.heal();
    cluster.lossShare = 0;
    cluster.delayShare = 0;
    for (const node of cluster.nodes) {
      node.diskDelayMs = 0;
      if (node.process === undefined) await cluster.boot(node.nodeId);
    }
    expect((await cluster.write('the last one')).kind).toBe('applied');
    await cluster.converged();
    this.#checkReplicas();
    const final = cluster.node(1).items();
    for (const node of cluster.nodes) expect(node.items()).toEqual(final);
    this.#checkOutcomes(new Set(final.map(({ text }) => text)));
    await cluster.close();
  }

  #proposeSomewhere(): void {
    const leaders = this.#cluster.alive.filter((node) => node.group().isLeader);
    if (leaders.length === 0) return;
    const proposal: Proposal = { text: `p${this.#proposals.length}`, outcome: undefined };
    const group = this.#pick(leaders).group();
    let answer: Promise<ProposalOutcome<string>>;
    try {
      answer = group.propose(Buffer.from(proposal.text));
    } catch (error) {
      // Nothing is taken while the leadership is handed over.
      expect(error).toMatchObject({ reason: 'NO_LEADER' });
      return;
    }
    this.#proposals.push(proposal);
    answer.then((outcome) => {
      expect(proposal.outcome).toBeUndefined();
      proposal.outcome = outcome;
    });
  }

  #transferSomewhere(): void {
    const leader = this.#cluster.alive.find((node) => node.group().isLeader);
    const { nodeId } = this.#pick(this.#cluster.nodes);
    leader
      ?.group()
      .transferLeadership(nodeId, { timeoutMs: 5_000 })
      .catch(() => undefined);
  }

  async #crash(): Promise<void> {
    const { alive } = this.#cluster;
    if (alive.length === 0) return;
    // All at once, now and then: only what is on the disks is left.
    const victims = this.#random() < 0.2 ? alive : [this.#pick(alive)];
    for (const { nodeId } of victims) {
      const keepBatches = Math.floor(this.#random() * 3);
      const loseApplied = this.#isLogCut ? 'unsynced' : Math.floor(this.#random() * 4);
      await this.#cluster.crash(nodeId, { keepBatches, loseApplied });
    }
  }

  /** Opening asserts by itself that nothing was applied beyond the log. */
  async #bootOne(): Promise<void> {
    const dead = this.#cluster.nodes.filter((node) => node.process === undefined);
    if (dead.length === 0) return;
    await this.#cluster.boot(this.#pick(dead).nodeId);
  }

  #cutOneWay(): void {
    const { nodes } = this.#cluster;
    this.#cluster.cut(this.#pick(nodes).nodeId, this.#pick(nodes).nodeId, { oneWay: true });
  }

  #checkReplicas(): void {
    for (const node of this.#cluster.nodes) {
      expect(node.faults).toEqual([]);
      for (const { index, text } of node.items()) {
        const known = this.#history.get(index) ?? text;
        this.#history.set(index, known);
        expect(`${index} ${text}`).toBe(`${index} ${known}`);
      }
    }
  }

  #checkOutcomes(present: ReadonlySet<string>): void {
    for (const { text, outcome } of this.#proposals) {
      if (outcome?.kind === 'applied') {
        expect(outcome.result).toBe(`did ${text}`);
        expect(this.#history.get(outcome.index)).toBe(text);
        expect(present).toContain(text);
      }
      if (outcome?.kind === 'lost') expect(present).not.toContain(text);
    }
    expect([...this.#history.values()].length).toBe(new Set(this.#history.values()).size);
  }

  #random(): number {
    return this.#cluster.environment.random.next();
  }

  #pick<T>(from: readonly T[]): T {
    return defined(from[Math.floor(this.#random() * from.length)], 'one to pick');
  }
}

describe('random runs', () => {
  for (const nodes of [1, 3, 5]) {
    it(`of ${nodes} nodes keep every answer that was given (S-40, S-43, S-45)`, async () => {
      let applied = 0;
      for (let seed = 1; seed <= 12; seed++) {
        const run = await RandomRun.start({ seed: 1_000 * nodes + seed, nodes });
        for (let step = 0; step < 120; step++) await run.step();
        await run.finish();
        applied += run.applied;
      }
      expect(applied).toBeGreaterThan(100);
    });
  }
});

describe('random runs with logs that are cut', () => {
  const compaction = { ...COMPACTION_DEFAULTS, thresholdEntries: 8, trailingEntries: 4 };
  const snapshotSender = { chunkSizeBytes: 200, stalledTimeoutMs: 4_000 };

  for (const isDurable of [true, false]) {
    const state = isDurable ? 'on disk' : 'in memory';
    it(`of a state ${state} keep every answer that was given (S-39, S-41)`, async () => {
      let applied = 0;
      for (let seed = 1; seed <= 6; seed++) {
        const options = { seed: 500 + seed, nodes: 3, compaction, snapshotSender, isDurable };
        const run = await RandomRun.start(options);
        for (let step = 0; step < 150; step++) await run.step();
        await run.finish();
        applied += run.applied;
      }
      expect(applied).toBeGreaterThan(50);
    }, 60_000);
  }
});

describe('a crash', () => {
  it('of all nodes after each of 100 turns loses nothing acknowledged (S-40)', async () => {
    const cluster = await ToyCluster.start({ seed: 40 });
    const acknowledged: string[] = [];
    for (let turn = 0; turn < 100; turn++) {
      const leader = await cluster.electedLeader();
      const text = `turn ${turn}`;
      leader
        .group()
        .propose(Buffer.from(text))
        .then(({ kind }) => {
          if (kind === 'applied') acknowledged.push(text);
        });
      await cluster.environment.advance(turn % 10);
      for (const { nodeId } of cluster.alive) {
        await cluster.crash(nodeId, { keepBatches: turn % 3, loseApplied: turn % 2 });
      }
      for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
    }
    await cluster.write('the last one');
    await cluster.converged();
    expect(acknowledged.length).toBeGreaterThan(30);
    for (const node of cluster.nodes) {
      const texts = node.items().map(({ text }) => text);
      expect(texts).toEqual(expect.arrayContaining(acknowledged));
      expect(new Set(texts).size).toBe(texts.length);
    }
    await cluster.close();
  });

  it('of a single voter loses nothing that was acknowledged (S-42)', async () => {
    const cluster = await ToyCluster.start({ nodes: 1 });
    expect((await cluster.write('a')).kind).toBe('applied');
    await cluster.crash(1, { loseApplied: 1 });
    await cluster.boot(1);
    await cluster.write('b');
    expect(
      cluster
        .node(1)
        .items()
        .map(({ text }) => text),
    ).toEqual(['a', 'b']);
    await cluster.close();
  });

  it('that takes the last apply call back finds its entries in a cut log (A3)', async () => {
    const compaction = { ...COMPACTION_DEFAULTS, thresholdEntries: 1, trailingEntries: 0 };
    const cluster = await ToyCluster.start({ nodes: 1, compaction });
    const node = cluster.node(1);
    for (const text of ['a', 'b', 'c', 'd']) await cluster.write(text);
    // The log is cut with the write of the next entry, which is never applied.
    node.machine().gate = new Promise(() => undefined);
    node.group().propose(Buffer.from('e'));
    await cluster.environment.advance(100);
    expect(node.running.logStore.reader(1).firstIndex()).toBe(node.group().appliedIndex);
    // All that was written of the log stays; the machine was still storing its newest batch.
    await cluster.crash(1, { keepBatches: Number.POSITIVE_INFINITY, loseApplied: 1 });
    expect(node.items().map(({ text }) => text)).toEqual(['a', 'b', 'c']);
    await cluster.boot(1);
    await cluster.write('f');
    expect(node.items().map(({ text }) => text)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(node.faults).toEqual([]);
    await cluster.close();
  });

  it('that takes the commit index back behind what was applied is no fault (ADR 3)', async () => {
    const cluster = await ToyCluster.start();
    for (let at = 0; at < 5; at++) await cluster.write(`entry ${at}`);
    await cluster.converged();
    const before = cluster.node(1).items();
    const committed = (node: ToyNode): number =>
      node.running.logStore.reader(1).initialState().hardState.commit;
    for (const { nodeId } of cluster.alive) await cluster.crash(nodeId, { keepBatches: 0 });
    for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
    const isBehind = cluster.nodes.some((node) => committed(node) < node.group().appliedIndex);
    expect(isBehind).toBe(true);
    await cluster.write('after');
    await cluster.converged();
    const expected = [...before.map(({ text }) => text), 'after'];
    for (const node of cluster.nodes) {
      expect(node.faults).toEqual([]);
      expect(node.items().map(({ text }) => text)).toEqual(expected);
    }
    await cluster.close();
  });

  it('during a slow write lets nothing be applied beyond the own log (S-41, ADR 3)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    leader.diskDelayMs = ELECTION_TIMEOUT_MS;
    leader.group().propose(Buffer.from('b'));
    const others = cluster.nodes.filter((node) => node !== leader);
    const has = (node: ToyNode): boolean => node.items().some(({ text }) => text === 'b');
    await cluster.until('the followers have it', () => others.every(has));
    expect(has(leader)).toBe(false);
    await cluster.crash(leader.nodeId);
    leader.diskDelayMs = 0;
    await cluster.boot(leader.nodeId);
    await cluster.converged();
    expect(leader.items()).toEqual(others[0]?.items());
    await cluster.close();
  });
});
