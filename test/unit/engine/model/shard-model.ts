/**
 * Goal: say what a shard holds after a log, so plainly that there is nothing to get wrong. Method:
 * maps of records, every read a look at all of them; nothing of the engine but its interfaces.
 */
import type { CommandResult, ExpiredRecords, Selection } from '../../../../src/engine/engine.js';
import { unreachable } from '../../../../src/shared/assert.js';
import { floatsOf } from '../../../../src/shared/bytes.js';
import {
  type ChangeOwnershipCommand,
  type Command,
  type CreateCollectionCommand,
  decodeCommand,
  type ExpireCommand,
  type WriteCommand,
  type WriteOperation,
} from '../../../../src/shared/codec/command.js';
import { decodeFilter } from '../../../../src/shared/codec/filter-bytes.js';
import {
  decodeStruct,
  type JsonObject,
  type JsonValue,
} from '../../../../src/shared/codec/struct.js';
import { matches } from '../../../../src/shared/filter.js';
import { comparePositions } from '../../../../src/shared/scroll-position.js';
import type { CommittedEntry } from '../../../../src/shared/state-machine.js';
import type { CollectionConfig, Version } from '../../../../src/shared/types.js';
import { squaredDistance } from '../../../support/vectors.js';
import { GENESIS } from '../shard-driver.js';
import { OwnershipModel } from './ownership-model.js';

/** Versions are log indexes in their milliseconds. */
const MS_SHIFT = 16n;

export interface ModelRecord {
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
  readonly version: Version;
  readonly vector: Float32Array;
  readonly metadata: JsonObject;
  readonly expiresAtMs: number | undefined;
}

/** An outcome or a result, without the words of its error. */
export interface ModelOutcome {
  readonly kind: string;
  readonly reason?: string;
  readonly version?: Version;
  readonly existed?: boolean;
}

export type ModelResult =
  | { readonly kind: 'write'; readonly outcomes: readonly ModelOutcome[] }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'expired'; readonly removed: number }
  | { readonly kind: 'done' };

export interface ModelCollection {
  readonly config: CollectionConfig;
  readonly placementId: number;
  readonly records: Map<string, ModelRecord>;
}

type Target = Pick<ModelRecord, 'slot' | 'tenant' | 'id'>;

const DONE: ModelResult = { kind: 'done' };

export function keyOf({ slot, tenant, id }: Target): string {
  return JSON.stringify([slot, tenant, id]);
}

function refused(reason: string): ModelResult {
  return { kind: 'refused', reason };
}

/** What an engine has answered, as a model answers it. */
export function resultOf(result: CommandResult): ModelResult {
  switch (result.kind) {
    case 'refused':
      return refused(result.error.reason);
    case 'write':
      return {
        kind: 'write',
        outcomes: result.outcomes.map(({ outcome }) => {
          if (outcome.kind === 'applied') return outcome;
          return { kind: outcome.kind, reason: outcome.error.reason };
        }),
      };
    case 'expired':
    case 'done':
      return result;
    default:
      return unreachable(result);
  }
}

/** What a shard of the drivers of tests holds that has applied this log. */
export function modelOf(log: readonly CommittedEntry[]): ShardModel {
  const model = new ShardModel(GENESIS.ownershipVersion);
  for (const { data } of log) {
    const { command, version } = decodeCommand(data);
    model.apply(command, version);
  }
  return model;
}

export class ShardModel {
  readonly collections = new Map<number, ModelCollection>();
  readonly ownership: OwnershipModel;
  readonly #dropped = new Set<number>();
  /** By client: requests up to there may have been applied by other shards. */
  readonly #reach = new Map<string, number>();
  /** By client, sequence and ordinal, and whose they are. */
  readonly #outcomes = new Map<string, ModelOutcome>();

  /** It owns all slots where it is not told which. */
  constructor(ownershipVersion: number, slots?: readonly number[]) {
    this.ownership = new OwnershipModel(ownershipVersion, slots);
  }

  apply(command: Command, version: Version): ModelResult {
    switch (command.kind) {
      case 'write':
        return this.#write(command, version);
      case 'createCollection':
        return this.#create(command);
      case 'dropCollection':
        this.#drop(command.collectionId);
        return DONE;
      case 'expire':
        return { kind: 'expired', removed: this.#expire(command) };
      case 'mark':
        return DONE;
      case 'fenceUnits': {
        const held = this.#recordsOn(command.placementId);
        const end = this.ownership.fence(command, held);
        if (end === 'holds records') return refused('TENANT_HAS_DATA');
        return end === 'fenced' ? DONE : refused('STALE_TOPOLOGY');
      }
      case 'changeOwnership':
        return this.#changeOwnership(command);
      case 'liftFence':
        this.ownership.lift(command);
        return DONE;
      default:
        return unreachable(command);
    }
  }

  versionOf(collectionId: number, target: Target): Version | undefined {
    return this.collections.get(collectionId)?.records.get(keyOf(target))?.version;
  }

  /** Records whose time is over, of all collections. */
  expired(nowMs: number): ModelRecord[] {
    const all = [...this.collections.values()].flatMap(({ records }) => [...records.values()]);
    return all.filter(({ expiresAtMs }) => expiresAtMs !== undefined && expiresAtMs <= nowMs);
  }

  /** What those may have applied that had the keys before, is not applied here (O5). */
  #changeOwnership(command: ChangeOwnershipCommand): ModelResult {
    const { version } = this.ownership;
    if (!this.ownership.change(command)) return refused('STALE_TOPOLOGY');
    if (this.ownership.version === version) return DONE;
    for (const { clientId, sequence } of command.reach?.clients ?? []) {
      this.#reach.set(clientId, Math.max(sequence, this.#reach.get(clientId) ?? 0));
    }
    return DONE;
  }

  /** A record that the shard does not own; undefined where there is none. */
  stray(): ModelRecord | undefined {
    for (const { placementId, records } of this.collections.values()) {
      for (const record of records.values()) {
        if (!this.ownership.owns(placementId, record)) return record;
      }
    }
    return undefined;
  }

  #create({ collectionId, config, ownership }: CreateCollectionCommand): ModelResult {
    if (this.#dropped.has(collectionId)) return refused('COLLECTION_NOT_FOUND');
    if (this.collections.has(collectionId)) return DONE;
    const { placementId = 0, units, tenants } = ownership ?? {};
    this.collections.set(collectionId, { config, placementId, records: new Map() });
    const { placements } = this.ownership;
    const { here = [], elsewhere = [] } = tenants ?? {};
    if (!placements.has(placementId)) placements.set(placementId, { units, here, elsewhere });
    return DONE;
  }

  /** A placement goes with its last collection. */
  #drop(collectionId: number): void {
    const { placementId = 0 } = this.collections.get(collectionId) ?? {};
    this.collections.delete(collectionId);
    this.#dropped.add(collectionId);
    const isUsed = [...this.collections.values()].some((one) => one.placementId === placementId);
    if (placementId !== 0 && !isUsed) this.ownership.placements.delete(placementId);
  }

  #recordsOn(placementId: number): ModelRecord[] {
    return [...this.collections.values()]
      .filter((collection) => collection.placementId === placementId)
      .flatMap(({ records }) => [...records.values()]);
  }

  /** Whether the write was laid out by another table, or is of what the shard may not write. */
  isStale({ collectionId, ownershipVersion, operations }: WriteCommand): boolean {
    const { placementId } = this.collections.get(collectionId) ?? {};
    const isOwned =
      placementId === undefined ||
      operations.every((operation) => this.ownership.mayWrite(placementId, operation));
    return ownershipVersion !== this.ownership.version || !isOwned;
  }

  #write(command: WriteCommand, version: Version): ModelResult {
    const { collectionId, operations, requestKey } = command;
    const { placementId = 0 } = this.collections.get(collectionId) ?? {};
    if (this.isStale(command)) return refused('STALE_TOPOLOGY');
    const nameOf = ({ ordinal, tenant }: WriteOperation): string => {
      const owner = tenant === '' ? [] : [collectionId, tenant];
      return JSON.stringify([requestKey.clientId, requestKey.sequence, ordinal, ...owner]);
    };
    const isNew = operations.some((one) => !this.#outcomes.has(nameOf(one)));
    const mayBeElsewhere = requestKey.sequence <= (this.#reach.get(requestKey.clientId) ?? 0);
    if (placementId !== 0 && isNew && mayBeElsewhere) return refused('SESSION_EXPIRED');
    const collection = this.collections.get(collectionId);
    if (collection === undefined && !operations.some((one) => this.#outcomes.has(nameOf(one)))) {
      return refused('COLLECTION_NOT_FOUND');
    }
    const outcomes = operations.map((operation) => {
      const recorded = this.#outcomes.get(nameOf(operation));
      if (recorded !== undefined) return recorded;
      const outcome =
        collection === undefined
          ? { kind: 'not-applied', reason: 'COLLECTION_NOT_FOUND' }
          : applyOperation(collection, operation, version);
      this.#outcomes.set(nameOf(operation), outcome);
      return outcome;
    });
    return { kind: 'write', outcomes };
  }

  #expire({ collectionId, records }: ExpireCommand): number {
    const collection = this.collections.get(collectionId);
    if (collection === undefined) return 0;
    const gone = records.filter((one) => this.versionOf(collectionId, one) === one.version);
    for (const one of gone) collection.records.delete(keyOf(one));
    return gone.length;
  }
}

function applyOperation(
  { config, records }: ModelCollection,
  operation: WriteOperation,
  version: Version,
): ModelOutcome {
  const { slot, tenant, id } = operation;
  const key = keyOf(operation);
  const current = records.get(key);
  const reason = conditionFault(operation, current);
  if (reason !== undefined) return { kind: 'not-applied', reason };
  const applied = { kind: 'applied', version, existed: current !== undefined };
  switch (operation.kind) {
    case 'delete':
      records.delete(key);
      return applied;
    case 'upsert': {
      const { ttlMs = config.ttlMs ?? 0 } = operation;
      const expiresAtMs = ttlMs === 0 ? undefined : Number(version >> MS_SHIFT) + ttlMs;
      const vector = floatsOf(operation.values);
      const metadata = decodeStruct(operation.metadata);
      records.set(key, { slot, tenant, id, version, vector, metadata, expiresAtMs });
      return applied;
    }
    case 'patch': {
      if (current === undefined) return { kind: 'not-applied', reason: 'RECORD_NOT_FOUND' };
      const patch = decodeStruct(operation.metadata);
      records.set(key, { ...current, version, metadata: mergePatch(current.metadata, patch) });
      return applied;
    }
    default:
      return unreachable(operation);
  }
}

function conditionFault(
  { condition }: WriteOperation,
  current: ModelRecord | undefined,
): string | undefined {
  switch (condition?.kind) {
    case undefined:
      return undefined;
    case 'absent':
      return current === undefined ? undefined : 'RECORD_EXISTS';
    case 'exists':
      return current === undefined ? 'RECORD_NOT_FOUND' : undefined;
    case 'version':
      return current?.version === condition.version ? undefined : 'VERSION_CONFLICT';
    default:
      return unreachable(condition);
  }
}

/** RFC 7396, section 2. */
function mergePatch(target: JsonValue | undefined, patch: JsonObject): JsonObject {
  const fields = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) fields.delete(name);
    else fields.set(name, isObject(value) ? mergePatch(fields.get(name), value) : value);
  }
  return Object.fromEntries(fields);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is selected, in the order of a scroll. */
export function selected(
  { config, records }: ModelCollection,
  { filter: bytes, tenant }: Selection,
): ModelRecord[] {
  const { indexedFields } = config;
  const filter = bytes && decodeFilter(bytes, indexedFields);
  return [...records.values()]
    .filter((one) => filter === undefined || matches(filter, one.metadata, indexedFields))
    .filter((one) => tenant === undefined || one.tenant === tenant)
    .sort(comparePositions);
}

/** Distances of all that is selected, ascending. */
export function distances(
  collection: ModelCollection,
  selection: Selection,
  vector: Float32Array,
): number[] {
  return selected(collection, selection)
    .map((one) => squaredDistance(one.vector, vector))
    .sort((a, b) => a - b);
}

/** The same text for the same JSON, in whatever order its fields are. */
export function canonical(json: JsonValue): string {
  if (Array.isArray(json)) return `[${json.map(canonical).join()}]`;
  if (!isObject(json)) return JSON.stringify(json);
  const fields = Object.entries(json).map(([name, value]) => {
    return `${JSON.stringify(name)}:${canonical(value)}`;
  });
  return `{${fields.sort().join()}}`;
}

/** One text a record that expires, sorted: in whatever groups and order they come. */
export function expiryTexts(groups: readonly Pick<ExpiredRecords, 'records'>[]): string[] {
  return groups
    .flatMap(({ records }) => records.map((one) => `${keyOf(one)} ${one.version}`))
    .sort();
}
