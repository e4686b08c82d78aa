/**
 * Compares what the replicas of a shard hold (P-6): a mark in the shard's log fixes a position,
 * every replica tells its hashes as they were there, and equal positions must have equal hashes.
 *
 * Now and then a node compares the shards that it leads by itself; metrics tell what came of it.
 * A comparison costs a log entry and some bytes for each slot, and holds nothing up.
 */
import type {
  CollectionContent,
  ContentQuery,
  ContentReport,
  SlotContent,
} from '../engine/engine.js';
import type { ShardReplica } from '../replica/replica.js';
import type { Router } from '../router/router.js';
import type {
  ShardVerification,
  SlotDamage,
  SlotDifference,
  SlotHolding,
} from '../shared/codec/verify-messages.js';
import { NO_HASH, sameContent } from '../shared/content-hash.js';
import type { Deadline } from '../shared/deadline.js';
import type { Environment, Timer } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { compareText } from '../shared/filter-values.js';
import type { Logger } from '../shared/logger.js';
import type { ShardEntry, TopologyDocument } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';

const REVIEW_EVERY_MS = 600_000;
const REVIEW_TIMEOUT_MS = 30_000;
const STATUS_TIMEOUT_MS = 500;
/** A replica that was restarted, or got a snapshot, since the mark is asked about another one. */
const MARKS_MAX = 2;
/** A node that does not say within this what it holds is taken for silent. */
const KNOWLEDGE_TIMEOUT_MS = 2_000;
/** The request did not get as far as the code that would know it. */
const SILENCE: readonly ErrorReason[] = [
  'SHARD_UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'TOO_MANY_REQUESTS',
];
/** It did, and there is no replica to ask. */
const NO_REPLICA: readonly ErrorReason[] = ['NO_LEADER', 'NODE_NOT_READY'];
/** Of no mark that there is, and so answered with nothing but that marks are known. */
const KNOWLEDGE_QUERY: ContentQuery = { mark: 0, deep: false };

export interface ContentVerifierOptions {
  readonly view: TopologyView;
  readonly router: Pick<Router, 'mark'>;
  readonly directory: {
    /** Replicas of this node by group. */
    readonly local: ReadonlyMap<number, Pick<ShardReplica, 'status'>>;
    replicaOf(shard: ShardEntry, nodeId: number): Pick<ShardReplica, 'contents'>;
  };
  readonly environment: Pick<Environment, 'scheduler'>;
  readonly logger: Logger;
}

export interface VerifyOptions {
  /** @default all */
  readonly collectionId?: number | undefined;
  readonly deep: boolean;
}

/** Slots of a shard that were found wrong. */
interface Findings {
  /** Those in which replicas differed. */
  readonly differences: number;
  /** Those of which a replica stores something else than was written. */
  readonly damages: number;
}

interface Answer {
  readonly nodeId: number;
  readonly report: ContentReport | FlotillaError;
}

export class ContentVerifier {
  readonly #options: ContentVerifierOptions;
  /** By shard. */
  readonly #found = new Map<number, Findings>();
  /** Stores of nodes that have shown that they know marks. */
  readonly #knowing = new Set<string>();
  readonly #timer: Timer;
  #isReviewing = false;

  /** Compares by itself until it is closed. */
  constructor(options: ContentVerifierOptions) {
    this.#options = options;
    const { scheduler } = options.environment;
    this.#timer = scheduler.every(REVIEW_EVERY_MS, () => void this.#review());
  }

  /**
   * By shard: slots in which replicas differed when this node last compared all of them, or more
   * that were found since, and those that a deep comparison found damaged.
   */
  get divergence(): ReadonlyMap<number, number> {
    const sums = [...this.#found].map(
      ([shardId, { differences, damages }]) => [shardId, differences + damages] as const,
    );
    return new Map(sums);
  }

  /** All shards, by id. Rejects with NODE_NOT_READY without a topology. */
  async verify(options: VerifyOptions, deadline: Deadline): Promise<ShardVerification[]> {
    const document = this.#options.view.current();
    if (document === undefined) {
      throw new FlotillaError('NODE_NOT_READY', 'This node has not joined a cluster yet');
    }
    const verified = await Promise.all(
      document.shards.map((shard) => this.#verifyShard(document, shard, options, deadline)),
    );
    return verified.sort((a, b) => a.shardId - b.shardId);
  }

  close(): void {
    this.#timer.cancel();
  }

  async #review(): Promise<void> {
    const document = this.#options.view.current();
    if (document === undefined || this.#isReviewing) return;
    this.#isReviewing = true;
    const deadline = { timeoutMs: REVIEW_TIMEOUT_MS };
    try {
      for (const shard of document.shards) {
        if (await this.#leads(document, shard)) {
          await this.#verifyShard(document, shard, { deep: false }, deadline);
        } else this.#leaveDifferences(shard.shardId);
      }
    } finally {
      this.#isReviewing = false;
    }
  }

  /**
   * Why the shard must get no mark now; `undefined` where it may. A replica of a version that does
   * not know them would stop at it (F-15), and so each node has to show first that it does. One
   * that is silent must have done so before.
   */
  async #markFault(
    document: TopologyDocument,
    shard: ShardEntry,
    deadline: Deadline,
  ): Promise<string | undefined> {
    const stores = new Map(document.nodes.map(({ nodeId, storeId }) => [nodeId, storeId]));
    const { replicas, change } = shard;
    // One that is being added applies the shard's log too.
    const members = change?.add === undefined ? replicas : [...replicas, change.add];
    const asked = { ...shard, replicas: members };
    const strangers: string[] = [];
    for (const { nodeId, report } of await this.#ask(document, asked, KNOWLEDGE_QUERY, deadline)) {
      const store = `${nodeId}/${stores.get(nodeId)}`;
      const knows = knowsMarks(report);
      if (knows === true) this.#knowing.add(store);
      else if (knows === false) this.#knowing.delete(store);
      if (!this.#knowing.has(store)) strangers.push(`node ${nodeId} (${problemOf(report)})`);
    }
    if (strangers.length === 0) return undefined;
    return (
      `it is not known whether ${strangers.join(' and ')} can take part, where a replica of an ` +
      'earlier version would stop: upgrade the node, or bring it back, and verify again'
    );
  }

  async #leads({ epoch }: TopologyDocument, { groupId }: ShardEntry): Promise<boolean> {
    const context = { epoch, timeoutMs: STATUS_TIMEOUT_MS };
    const replica = this.#options.directory.local.get(groupId);
    const status = await replica?.status(context).catch(() => undefined);
    return status?.role === 'StateLeader';
  }

  async #verifyShard(
    document: TopologyDocument,
    shard: ShardEntry,
    options: VerifyOptions,
    deadline: Deadline,
  ): Promise<ShardVerification> {
    const { shardId } = shard;
    try {
      const verified = await this.#compare(document, shard, options, deadline);
      const { differences, damages, problem } = verified;
      if (options.collectionId === undefined && problem === '') {
        this.#note(verified, options.deep);
      }
      if (differences.length + damages.length > 0) {
        const first = differences[0] ?? damages[0];
        this.#options.logger.error({ shardId, first }, 'replicas hold different records');
      }
      return verified;
    } catch (error) {
      return unverified(shardId, toFlotillaError(error).message);
    }
  }

  /**
   * Less than before counts only where all replicas have told: one that is silent may be the one
   * that differs. Whether damage is mended only a deep comparison can tell.
   */
  #note({ shardId, replicas, differences, damages }: ShardVerification, deep: boolean): void {
    const before = this.#found.get(shardId);
    const now = { differences: differences.length, damages: damages.length };
    if (replicas.every(({ problem }) => problem === '')) {
      const kept = deep ? now.damages : (before?.damages ?? 0);
      this.#found.set(shardId, { ...now, damages: kept });
    } else if (before !== undefined || now.differences + now.damages > 0) {
      this.#found.set(shardId, {
        differences: Math.max(before?.differences ?? 0, now.differences),
        damages: Math.max(before?.damages ?? 0, now.damages),
      });
    }
  }

  /** Who leads compares the replicas; of damage only the node knows that has looked for it. */
  #leaveDifferences(shardId: number): void {
    const damages = this.#found.get(shardId)?.damages ?? 0;
    if (damages === 0) this.#found.delete(shardId);
    else this.#found.set(shardId, { differences: 0, damages });
  }

  async #compare(
    document: TopologyDocument,
    shard: ShardEntry,
    { collectionId, deep }: VerifyOptions,
    deadline: Deadline,
  ): Promise<ShardVerification> {
    const nameOf = (id: number): string =>
      document.collections.find((one) => one.collectionId === id)?.config.name ?? `${id}`;
    const knowledgeMs = Math.min(KNOWLEDGE_TIMEOUT_MS, deadline.timeoutMs / (1 + 2 * MARKS_MAX));
    const { signal } = deadline;
    const fault = await this.#markFault(document, shard, { timeoutMs: knowledgeMs, signal });
    if (fault !== undefined) return unverified(shard.shardId, fault);
    const stepMs = (deadline.timeoutMs - knowledgeMs) / (2 * MARKS_MAX);
    const patience = { timeoutMs: stepMs, signal };
    let index = 0;
    let answers: Answer[] = [];
    for (let marks = 1; marks <= MARKS_MAX; marks++) {
      index = await this.#options.router.mark(shard.shardId, patience);
      answers = await this.#ask(document, shard, { mark: index, deep }, patience);
      if (!answers.some(isTooLate)) break;
    }
    const isWanted = (one: { readonly collectionId: number }): boolean =>
      collectionId === undefined || one.collectionId === collectionId;
    const held = answers.flatMap(({ nodeId, report }) =>
      report instanceof FlotillaError || report.contents === undefined
        ? []
        : [{ nodeId, contents: report.contents.filter(isWanted) }],
    );
    const slots = slotsOf(held);
    const nodeIds = held.map(({ nodeId }) => nodeId);
    return {
      shardId: shard.shardId,
      index,
      problem: '',
      replicas: answers.map(({ nodeId, report }) => ({ nodeId, problem: problemOf(report) })),
      slots: slots.length,
      differences: differencesOf(slots, nodeIds, nameOf),
      damages: answers.flatMap((answer) => damagesOf(answer, isWanted, nameOf)),
    };
  }

  #ask(
    { epoch }: TopologyDocument,
    shard: ShardEntry,
    query: ContentQuery,
    { timeoutMs, signal }: Deadline,
  ): Promise<Answer[]> {
    const context = { epoch, timeoutMs, ...(signal !== undefined && { signal }) };
    const asked = [...shard.replicas].sort((a, b) => a.nodeId - b.nodeId);
    return Promise.all(
      asked.map(async ({ nodeId }) => {
        const replica = this.#options.directory.replicaOf(shard, nodeId);
        const report = await replica.contents(query, context).catch(toFlotillaError);
        return { nodeId, report };
      }),
    );
  }
}

function unverified(shardId: number, problem: string): ShardVerification {
  return { shardId, index: 0, problem, replicas: [], slots: 0, differences: [], damages: [] };
}

/** `undefined` where the answer says nothing about it. */
function knowsMarks(report: Answer['report']): boolean | undefined {
  if (!(report instanceof FlotillaError)) return true;
  if (SILENCE.includes(report.reason)) return undefined;
  return NO_REPLICA.includes(report.reason);
}

function isTooLate({ report }: Answer): boolean {
  return !(report instanceof FlotillaError) && report.contents === undefined;
}

function problemOf(report: Answer['report']): string {
  if (report instanceof FlotillaError) return report.message;
  return report.contents === undefined ? 'it was not there at the mark' : '';
}

interface Held {
  readonly nodeId: number;
  readonly contents: readonly CollectionContent[];
}

/** What replicas hold of a slot, by node id. */
interface HeldSlot {
  readonly collectionId: number;
  readonly slot: number;
  readonly of: Map<number, SlotContent>;
}

/** The slots of which any replica holds records. */
function slotsOf(held: readonly Held[]): HeldSlot[] {
  const bySlot = new Map<string, HeldSlot>();
  for (const { nodeId, contents } of held) {
    for (const { collectionId, slots } of contents) {
      for (const content of slots) {
        const key = `${collectionId}/${content.slot}`;
        const known = bySlot.get(key) ?? { collectionId, slot: content.slot, of: new Map() };
        known.of.set(nodeId, content);
        bySlot.set(key, known);
      }
    }
  }
  return [...bySlot.values()];
}

/** Slots of which not all replicas hold the same, by collection and slot. */
function differencesOf(
  slots: readonly HeldSlot[],
  nodeIds: readonly number[],
  nameOf: (collectionId: number) => string,
): SlotDifference[] {
  const differences: SlotDifference[] = [];
  for (const { collectionId, slot, of } of slots) {
    const holdings = nodeIds.map((nodeId) => holdingOf(nodeId, of.get(nodeId)));
    const [first] = holdings;
    if (first === undefined || holdings.every((one) => sameContent(one, first))) continue;
    differences.push({ collection: nameOf(collectionId), slot, holdings });
  }
  return differences.sort((a, b) => compareText(a.collection, b.collection) || a.slot - b.slot);
}

function holdingOf(nodeId: number, content: SlotContent | undefined): SlotHolding {
  return { nodeId, records: content?.records ?? 0, hash: content?.hash ?? NO_HASH };
}

function damagesOf(
  { nodeId, report }: Answer,
  isWanted: (one: { readonly collectionId: number }) => boolean,
  nameOf: (collectionId: number) => string,
): SlotDamage[] {
  if (report instanceof FlotillaError) return [];
  return report.faults.filter(isWanted).map(({ collectionId, kept, found }) => ({
    collection: nameOf(collectionId),
    slot: kept.slot,
    kept: holdingOf(nodeId, kept),
    found: holdingOf(nodeId, found),
  }));
}
