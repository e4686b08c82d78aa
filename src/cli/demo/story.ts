/** What the demo shows, step by step, each with a sentence on what has just happened. */
import type { Collection, Flotilla, Hit } from '../../client/index.js';
import type { CliContext } from '../context.js';
import { formatDuration } from '../render/format.js';
import { EMBEDDING_DIMENSION, embed } from './hashing-embedding.js';
import type { NodeProcesses } from './node-processes.js';
import { SAMPLE_NOTES } from './notes.js';

type NoteMetadata = { readonly topic: string; readonly text: string };

const QUESTION = 'How do I keep my boat from drifting at anchor?';
const LATE_NOTE = {
  id: 'harbour-late',
  topic: 'harbour',
  text: 'A second anchor at an angle keeps a drifting boat in its place.',
};
const WAIT_LIMIT_MS = 60_000;
const POLL_MS = 100;
const NAME = 'notes';

export class Story {
  readonly #context: CliContext;
  readonly #nodes: NodeProcesses;
  readonly #client: Flotilla;
  readonly #notes: Collection<NoteMetadata>;

  constructor(context: CliContext, nodes: NodeProcesses, client: Flotilla) {
    this.#context = context;
    this.#nodes = nodes;
    this.#client = client;
    this.#notes = client.collection<NoteMetadata>(NAME);
  }

  /** Throws an Error with a sentence where the cluster does not behave. */
  async tell(): Promise<void> {
    await this.#startNodes();
    await this.#showShards('Four shards, each a Raft group with a replica on every node:');
    await this.#importNotes();
    await this.#search('Searching for');
    const killed = await this.#killLeader();
    await this.#searchOn();
    await this.#writeOn();
    await this.#showShards(`The shards that node ${killed} led have new leaders:`);
    await this.#bringBack(killed);
    await this.#showNothingLost();
  }

  async #startNodes(): Promise<void> {
    this.#step('Starting three nodes as processes of their own');
    for (const nodeId of this.#nodes.nodeIds) this.#nodes.start(nodeId);
    const tookMs = await this.#timed(async () => {
      for (const nodeId of this.#nodes.nodeIds) {
        await this.#until(`node ${nodeId} serves`, () => this.#nodes.isReady(nodeId), nodeId);
      }
    });
    this.#say(
      `They found each other, made a cluster and elected leaders in ${formatDuration(tookMs)}.`,
    );
  }

  async #showShards(title: string): Promise<void> {
    const { shards } = await this.#client.status();
    this.#say(title);
    for (const shard of shards) {
      const replicas = shard.replicas.map(({ nodeId, state }) =>
        state === 'leader' ? `[node ${nodeId} leads]` : `node ${nodeId} ${state}`,
      );
      this.#say(`  shard ${shard.shardId}: ${replicas.join(', ')}`);
    }
  }

  async #importNotes(): Promise<void> {
    this.#step(`Writing ${SAMPLE_NOTES.length} notes, each with a vector made of its words`);
    await this.#client.createCollection({ name: NAME, dimension: EMBEDDING_DIMENSION });
    const tookMs = await this.#timed(async () => {
      const { appliedCount } = await this.#notes.upsert(SAMPLE_NOTES.map(recordOf));
      if (appliedCount !== SAMPLE_NOTES.length) throw new Error('some notes were not written');
    });
    this.#say(
      'Every note is on the disks of at least two of the three nodes. ' +
        `It took ${formatDuration(tookMs)}.`,
    );
  }

  async #search(what: string): Promise<Hit<NoteMetadata>[]> {
    this.#step(`${what} "${QUESTION}"`);
    const { hits, shards } = await this.#notes.search({ vector: embed(QUESTION), k: 3 });
    for (const { distance, metadata } of hits) {
      this.#say(`  ${distance.toFixed(3)}  ${metadata?.topic}: ${metadata?.text}`);
    }
    this.#say(`All ${shards.total} shards were asked and their hits merged by distance.`);
    return [...hits];
  }

  async #killLeader(): Promise<number> {
    const { shards } = await this.#client.status();
    const nodeId = shards[0]?.leaderNodeId ?? 1;
    this.#step(`kill -9 of node ${nodeId}, which leads shard 0`);
    await this.#nodes.kill(nodeId);
    this.#say('The process is gone. Nothing was flushed, nobody was told.');
    return nodeId;
  }

  async #searchOn(): Promise<void> {
    const tookMs = await this.#timed(() => this.#search('Searching again, at once, for'));
    this.#say(
      `The same answer, after ${formatDuration(tookMs)}: the two nodes left noticed, elected new ` +
        'leaders, and the client waited.',
    );
  }

  async #writeOn(): Promise<void> {
    this.#step('Writing one more note with a node down');
    const tookMs = await this.#timed(async () => {
      await this.#notes.upsert([recordOf(LATE_NOTE)]);
    });
    this.#say(
      `Acknowledged after ${formatDuration(tookMs)}: two of three replicas are a majority.`,
    );
  }

  async #bringBack(nodeId: number): Promise<void> {
    this.#step(`Starting node ${nodeId} again`);
    this.#nodes.start(nodeId);
    const tookMs = await this.#timed(async () => {
      await this.#until(`node ${nodeId} serves`, () => this.#nodes.isReady(nodeId), nodeId);
      await this.#until('all replicas have caught up', () => this.#hasCaughtUp(), nodeId);
    });
    this.#say(
      `It read its disk, took what it had missed, and is level after ${formatDuration(tookMs)}.`,
    );
  }

  async #hasCaughtUp(): Promise<boolean> {
    const { healthy, shards } = await this.#client.status();
    return (
      healthy &&
      shards.every(({ replicas }) => replicas.every(({ lagEntries }) => lagEntries === 0))
    );
  }

  async #showNothingLost(): Promise<void> {
    this.#step('Counting');
    const written = [...SAMPLE_NOTES, LATE_NOTE];
    const records = await this.#notes.fetch(
      written.map(({ id }) => id),
      { includeValues: false },
    );
    const count = await this.#notes.count();
    if (records.length !== written.length || count !== written.length) {
      throw new Error(`${written.length} notes were acknowledged and ${count} are there`);
    }
    this.#say(`${written.length} notes were acknowledged, ${count} are there. Nothing was lost.`);
  }

  async #until(what: string, condition: () => Promise<boolean>, nodeId: number): Promise<void> {
    const endMs = this.#context.monotonicMs() + WAIT_LIMIT_MS;
    while (!(await condition())) {
      if (!this.#nodes.isRunning(nodeId)) {
        throw new Error(`node ${nodeId} has ended; its log is ${this.#nodes.logPath(nodeId)}`);
      }
      if (this.#context.monotonicMs() > endMs) {
        throw new Error(`still waiting until ${what}; logs: ${this.#nodes.logPath(nodeId)}`);
      }
      await this.#context.sleep(POLL_MS);
    }
  }

  async #timed(work: () => Promise<unknown>): Promise<number> {
    const startMs = this.#context.monotonicMs();
    await work();
    return this.#context.monotonicMs() - startMs;
  }

  #step(title: string): void {
    this.#context.stdout.write(`\n> ${title}\n`);
  }

  #say(sentence: string): void {
    this.#context.stdout.write(`  ${sentence}\n`);
  }
}

function recordOf({ id, topic, text }: typeof LATE_NOTE): {
  id: string;
  values: Float32Array;
  metadata: NoteMetadata;
} {
  return { id, values: embed(text), metadata: { topic, text } };
}
