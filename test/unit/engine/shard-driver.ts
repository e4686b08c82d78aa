/** Drives an engine as a replica does: a log that survives, entries applied in order, replays. */
import { setImmediate } from 'node:timers/promises';
import type {
  CollectionStats,
  CommandResult,
  Engine,
  Hit,
  ReadScope,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  ShardGenesis,
} from '../../../src/engine/engine.js';
import type { SessionLimits } from '../../../src/engine/sessions.js';
import { defined } from '../../../src/shared/assert.js';
import { floatBytes } from '../../../src/shared/bytes.js';
import {
  type Command,
  encodeCommand,
  type RequestKey,
  stampCommand,
  type WriteOperation,
} from '../../../src/shared/codec/command.js';
import { encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { ScrollPosition } from '../../../src/shared/scroll-position.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { CollectionConfig, WriteCondition, WriteOutcome } from '../../../src/shared/types.js';

export const GENESIS: ShardGenesis = {
  shardId: 3,
  ownershipVersion: 7,
  slots: Array.from({ length: 16 }, (_, slot) => slot),
};

export const SCOPE: ReadScope = { collectionId: 1, ownershipVersion: 7 };

/** Where engines of a test live: what one leaves behind, the next one finds. */
export interface EngineHarness {
  /** Where the engines' files lie, and snapshots with them. */
  readonly disk: Disk;
  /** A path for the snapshot of that name. */
  snapshotPath(name: string): string;
  create(options?: { sessionLimits?: SessionLimits }): Engine;
  /**
   * The machine loses power and the engine is dead: of the batches that were not synced only the
   * first `keepBatches` are left.
   */
  crash?(keepBatches: number): Promise<void>;
  cleanup(): Promise<void>;
}

export function collectionConfig(config: Partial<CollectionConfig> = {}): CollectionConfig {
  return {
    name: 'things',
    dimension: 2,
    metric: 'l2',
    m: 16,
    efConstruction: 100,
    indexedFields: [],
    ...config,
  };
}

let ordinals = 0;

/** The slot only has to be the same for the same id. */
export function slotOf(id: string): number {
  return [...id].reduce((sum, character) => sum + (character.codePointAt(0) ?? 0), 0) % 16;
}

export function upsert(
  id: string,
  values: ArrayLike<number>,
  options: {
    metadata?: JsonObject;
    tenant?: string;
    ordinal?: number;
    slot?: number;
    condition?: WriteCondition;
    ttlMs?: number;
  } = {},
): WriteOperation {
  return {
    kind: 'upsert',
    ordinal: options.ordinal ?? ordinals++,
    slot: options.slot ?? slotOf(id),
    tenant: options.tenant ?? '',
    id,
    ...(options.condition !== undefined && { condition: options.condition }),
    ...(options.ttlMs !== undefined && { ttlMs: options.ttlMs }),
    values: floatBytes(Float32Array.from(values)),
    metadata: encodeStruct(options.metadata ?? {}),
  };
}

export function patch(
  id: string,
  metadata: JsonObject,
  options: { ordinal?: number; condition?: WriteCondition } = {},
): WriteOperation {
  return {
    kind: 'patch',
    ordinal: options.ordinal ?? ordinals++,
    slot: slotOf(id),
    tenant: '',
    id,
    ...(options.condition !== undefined && { condition: options.condition }),
    metadata: encodeStruct(metadata),
  };
}

export function remove(
  id: string,
  options: { tenant?: string; ordinal?: number; condition?: WriteCondition } = {},
): WriteOperation {
  return {
    kind: 'delete',
    ordinal: options.ordinal ?? ordinals++,
    slot: slotOf(id),
    tenant: options.tenant ?? '',
    id,
    ...(options.condition !== undefined && { condition: options.condition }),
  };
}

export function query(
  vector: ArrayLike<number>,
  k: number,
  options: Partial<SearchQuery> = {},
): SearchQuery {
  return {
    vector: floatBytes(Float32Array.from(vector)),
    k,
    ef: 0,
    includeValues: false,
    includeMetadata: false,
    ...options,
  };
}

export class ShardDriver {
  readonly #harness: EngineHarness;
  readonly #sessionLimits: SessionLimits | undefined;
  readonly log: CommittedEntry[] = [];
  #engine: Engine | undefined;
  #sequence = 0;

  constructor(harness: EngineHarness, sessionLimits?: SessionLimits) {
    this.#harness = harness;
    this.#sessionLimits = sessionLimits;
  }

  get engine(): Engine {
    return defined(this.#engine, 'an open engine');
  }

  /** Opens a new engine and replays what the one before did not store; returns its index. */
  async open(): Promise<number> {
    const limits = this.#sessionLimits;
    this.#engine = this.#harness.create(limits === undefined ? {} : { sessionLimits: limits });
    const { appliedIndex } = await this.#engine.open();
    const missing = this.log.filter(({ index }) => index > appliedIndex);
    if (missing.length > 0) await this.#engine.apply(missing, this.log.length);
    return appliedIndex;
  }

  async reopen(): Promise<number> {
    await this.engine.close();
    return this.open();
  }

  async crash(keepBatches = 0): Promise<number> {
    await defined(this.#harness.crash, 'a way to crash').call(this.#harness, keepBatches);
    return this.open();
  }

  /** Goes on with the log of another replica, of which a snapshot up to `index` is installed. */
  follow(other: ShardDriver, index: number): void {
    this.log.splice(0, this.log.length, ...other.log.slice(0, index));
  }

  /** Appends to the log without applying: what a replica that crashes now has to replay. */
  append(command: Command): CommittedEntry {
    const data = encodeCommand(command);
    const index = this.log.length + 1;
    stampCommand(data, BigInt(index) << 16n);
    const entry = { index, term: 1, data };
    this.log.push(entry);
    return entry;
  }

  async apply(...commands: Command[]): Promise<CommandResult[]> {
    const entries = commands.map((command) => this.append(command));
    return this.engine.apply(entries, this.log.length);
  }

  async createCollection(config: Partial<CollectionConfig> = {}, collectionId = 1): Promise<void> {
    await this.apply({ kind: 'createCollection', collectionId, config: collectionConfig(config) });
  }

  /** A write command; a new request of the client `client` unless `key` says otherwise. */
  writeCommand(
    operations: readonly WriteOperation[],
    key: Partial<RequestKey> = {},
    scope: ReadScope = SCOPE,
  ): Command {
    const sequence = key.sequence ?? ++this.#sequence;
    const lowestUnanswered = key.lowestUnanswered ?? Math.max(0, sequence - 8);
    const requestKey = { clientId: 'client', clientStampMs: 5, ...key, sequence, lowestUnanswered };
    return { kind: 'write', ...scope, requestKey, operations };
  }

  async write(operations: readonly WriteOperation[], key: Partial<RequestKey> = {}) {
    const [result] = await this.apply(this.writeCommand(operations, key));
    return defined(result, 'result');
  }

  async stats(collectionId = SCOPE.collectionId): Promise<CollectionStats> {
    const { collections } = await this.engine.stats();
    const one = collections.find((collection) => collection.collectionId === collectionId);
    return defined(one, `collection ${collectionId}`);
  }

  /** Resolves when every record is in its graph, and no graph is worn. */
  async settled(): Promise<void> {
    for (;;) {
      const { collections } = await this.engine.stats();
      if (collections.every(({ headRows, isRenewing }) => headRows === 0 && !isRenewing)) return;
      await setImmediate();
    }
  }

  /** All pages of what is selected, each asked for when the one before was taken. */
  async *scrollPages(query: Omit<ScrollQuery, 'after'>, scope = SCOPE): AsyncGenerator<ScrollPage> {
    let after: ScrollPosition | undefined;
    do {
      const position = after === undefined ? {} : { after };
      const page = await this.engine.scroll(scope, { ...query, ...position });
      yield page;
      after = page.next;
    } while (after !== undefined);
  }

  /** The ids found, in order. */
  async searchIds(vector: ArrayLike<number>, k: number, scope = SCOPE): Promise<string[]> {
    return (await this.search(query(vector, k), scope)).map(({ id }) => id);
  }

  async search(one: SearchQuery, scope = SCOPE): Promise<Hit[]> {
    const [hits] = await this.engine.search(scope, [one]);
    return defined(hits, 'hits');
  }
}

/** Carries a snapshot file to where the engines of another harness can read it. */
export async function sendSnapshot(
  name: string,
  from: EngineHarness,
  to: EngineHarness,
): Promise<string> {
  const bytes = await from.disk.readFile(from.snapshotPath(name));
  await to.disk.writeFile(to.snapshotPath(name), defined(bytes, 'the snapshot file'));
  return to.snapshotPath(name);
}

export function outcomesOf(result: CommandResult): WriteOutcome[] {
  if (result.kind !== 'write') throw new Error(`not a write: ${JSON.stringify(result)}`);
  return result.outcomes.map(({ outcome }) => outcome);
}

/** The reason of a refusal, or the kind of another result. */
export function reasonOf(result: CommandResult | undefined): string {
  return result?.kind === 'refused' ? result.error.reason : String(result?.kind);
}
