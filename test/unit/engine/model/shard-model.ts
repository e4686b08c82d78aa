/**
 * Goal: say what a shard holds after a log, so plainly that there is nothing to get wrong. Method:
 * maps of records, every read a look at all of them; nothing of the engine but its interfaces.
 */
import type { ExpiredRecords, Selection } from '../../../../src/engine/engine.js';
import { unreachable } from '../../../../src/shared/assert.js';
import { floatsOf } from '../../../../src/shared/bytes.js';
import type {
  Command,
  ExpireCommand,
  WriteCommand,
  WriteOperation,
} from '../../../../src/shared/codec/command.js';
import { decodeFilter } from '../../../../src/shared/codec/filter-bytes.js';
import {
  decodeStruct,
  type JsonObject,
  type JsonValue,
} from '../../../../src/shared/codec/struct.js';
import { matches } from '../../../../src/shared/filter.js';
import { comparePositions } from '../../../../src/shared/scroll-position.js';
import type { CollectionConfig, Version } from '../../../../src/shared/types.js';
import { squaredDistance } from '../../../support/vectors.js';

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

export class ShardModel {
  readonly collections = new Map<number, ModelCollection>();
  readonly #ownershipVersion: number;
  readonly #dropped = new Set<number>();
  /** By client, sequence and ordinal. */
  readonly #outcomes = new Map<string, ModelOutcome>();

  constructor(ownershipVersion: number) {
    this.#ownershipVersion = ownershipVersion;
  }

  apply(command: Command, version: Version): ModelResult {
    switch (command.kind) {
      case 'write':
        return this.#write(command, version);
      case 'createCollection': {
        const { collectionId, config } = command;
        if (this.#dropped.has(collectionId)) return refused('COLLECTION_NOT_FOUND');
        if (!this.collections.has(collectionId)) {
          this.collections.set(collectionId, { config, records: new Map() });
        }
        return DONE;
      }
      case 'dropCollection':
        this.collections.delete(command.collectionId);
        this.#dropped.add(command.collectionId);
        return DONE;
      case 'expire':
        return { kind: 'expired', removed: this.#expire(command) };
      case 'mark':
      case 'fenceUnits':
      case 'changeOwnership':
      case 'liftFence':
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

  #write(command: WriteCommand, version: Version): ModelResult {
    const { collectionId, operations, requestKey } = command;
    if (command.ownershipVersion !== this.#ownershipVersion) return refused('STALE_TOPOLOGY');
    const nameOf = ({ ordinal }: WriteOperation): string =>
      JSON.stringify([requestKey.clientId, requestKey.sequence, ordinal]);
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
