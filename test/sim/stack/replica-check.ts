/**
 * Goal: tell a replica that does not hold, or does not find, what its log says. Method: the engine
 * is asked like any other time, right after it has applied something, and held against the replay.
 */
import type { Engine, ReadScope, RecordKey } from '../../../src/engine/engine.js';
import { decodeStruct } from '../../../src/shared/codec/struct.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import { canonical, keyOf, type ModelRecord } from '../../unit/engine/model/shard-model.js';
import { DIMENSION } from './record-content.js';
import type { Records, ShardReplay, ShardState } from './shard-replay.js';

/** It is closed, or has stopped: whoever uses it hears of that, too. */
const ENDED: ReadonlySet<string> = new Set(['NODE_NOT_READY', 'STORE_POISONED', 'LOG_DAMAGED']);

/** How much of a replica is looked at. */
export interface CheckScope {
  /** Which records are looked at closely: all, or the one of each collection whose turn it is. */
  readonly closely: 'all' | number;
  /** Whether the store is read, too. */
  readonly reads: boolean;
}

/**
 * How the replica differs from what it must be after the entries up to `index`; empty where it does
 * not, or cannot be asked. Nothing may be applied meanwhile. A search of everything for each
 * collection, and a search and a read for each record that is looked at closely.
 */
export async function differenceOf(
  engine: Engine,
  replay: ShardReplay,
  index: number,
  scope: CheckScope,
): Promise<string> {
  const state = replay.stateAt(index);
  try {
    const difference = await contentDifference(engine, replay, state);
    if (difference !== '') return difference;
    const { ownershipVersion } = state;
    for (const [collectionId, records] of state.collections) {
      const read = { collectionId, ownershipVersion };
      const found =
        (await recordDifference(engine, read, records, scope)) ||
        (await tenantDifference(engine, read, records, scope));
      if (found !== '') return `collection ${collectionId}: ${found}`;
    }
    return '';
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    return ENDED.has(error.reason) ? '' : `it answers ${error.reason}: ${error.message}`;
  }
}

/** Content hashes, collections and times to live: by the books that the engine keeps. */
async function contentDifference(
  engine: Engine,
  replay: ShardReplay,
  state: ShardState,
): Promise<string> {
  const { contents } = await engine.contents({ deep: false });
  const hashes = JSON.stringify(contents);
  const first = replay.contentsIn(state, hashes);
  if (hashes !== first) return `contents are ${hashes}, elsewhere ${first}`;
  const { collections } = await engine.stats();
  const ids = collections.map(({ collectionId }) => collectionId).sort();
  const expectedIds = [...state.collections.keys()].sort();
  if (ids.join() !== expectedIds.join()) return `collections are ${ids}, not ${expectedIds}`;
  const expiring = (await engine.expired(Number.MAX_SAFE_INTEGER, ALL)).flatMap(
    ({ collectionId, records }) => records.map((record) => `${collectionId}/${keyOf(record)}`),
  );
  const expected = [...state.collections].flatMap(([collectionId, records]) =>
    [...records.values()]
      .filter(({ expiresAtMs }) => expiresAtMs !== undefined)
      .map((record) => `${collectionId}/${keyOf(record)}`),
  );
  if (expiring.sort().join() === expected.sort().join()) return '';
  return `${expiring.join() || 'nothing'} expires, not ${expected.join() || 'nothing'}`;
}

async function recordDifference(
  engine: Engine,
  read: ReadScope,
  records: Records,
  { closely, reads }: CheckScope,
): Promise<string> {
  const all = [...records.values()];
  const difference = await searchDifference(engine, read, all);
  if (difference !== '') return difference;
  for (const record of chosenOf(all, closely)) {
    const different =
      (await nearestDifference(engine, read, record)) ||
      (reads ? await storedDifference(engine, read, record) : '');
    if (different !== '') return different;
  }
  return '';
}

/** Each tenant finds its own records, and counts no others (U1). */
async function tenantDifference(
  engine: Engine,
  read: ReadScope,
  records: Records,
  { closely }: CheckScope,
): Promise<string> {
  const all = [...records.values()];
  const tenants = [...new Set(all.map(({ tenant }) => tenant))].sort();
  if (tenants.length < 2) return '';
  for (const tenant of chosenOf(tenants, closely)) {
    const own = all.filter((record) => record.tenant === tenant);
    const count = await engine.count(read, { tenant });
    const difference =
      count === own.length
        ? await searchDifference(engine, read, own, tenant)
        : `it counts ${count} of ${own.length} records`;
    if (difference !== '') return `tenant ${tenant || 'nobody'}: ${difference}`;
  }
  return '';
}

/** A search of everything, or of a tenant's, finds these records and no others. */
async function searchDifference(
  engine: Engine,
  read: ReadScope,
  expected: readonly ModelRecord[],
  tenant?: string,
): Promise<string> {
  const query = { ...QUERY, vector: ORIGIN, k: ALL, ...(tenant !== undefined && { tenant }) };
  const [found = []] = await engine.search(read, [query]);
  const versions = new Map(expected.map((one) => [nameOf(one), one.version]));
  for (const hit of found) {
    const version = versions.get(nameOf(hit));
    if (version !== hit.version) return `it finds ${hit.id} ${hit.version}, not ${version}`;
  }
  if (found.length === expected.length) return '';
  return `it finds ${found.length} of ${expected.length} records`;
}

function chosenOf<T>(all: readonly T[], closely: CheckScope['closely']): readonly T[] {
  return all.filter((_, at) => closely === 'all' || at === closely % all.length);
}

/** Whoever asks for the record's own vector must find it first, whichever label it has. */
async function nearestDifference(
  engine: Engine,
  read: ReadScope,
  { id, tenant, vector }: ModelRecord,
): Promise<string> {
  const [hits = []] = await engine.search(read, [{ ...QUERY, vector: bytesOf(vector), k: 1 }]);
  const [hit] = hits;
  if (hit?.id === id && hit.tenant === tenant && hit.distance === 0) return '';
  return `nearest to the vector of ${id} is ${hit?.id} at ${hit?.distance}`;
}

async function storedDifference(
  engine: Engine,
  read: ReadScope,
  { slot, tenant, id, version, vector, metadata }: ModelRecord,
): Promise<string> {
  const key: RecordKey = { slot, tenant, id };
  const [stored] = await engine.fetch(read, [key], { values: true, metadata: true });
  if (stored?.version !== version) return `${id} is stored as ${stored?.version}, not ${version}`;
  const isVector = Buffer.compare(stored.values ?? ORIGIN, bytesOf(vector)) === 0;
  const found = canonical(decodeStruct(stored.metadata ?? new Uint8Array()));
  if (isVector && found === canonical(metadata)) return '';
  return `${id} ${version} is stored with ${isVector ? found : 'another vector'}`;
}

function nameOf({ tenant, id }: Pick<ModelRecord, 'tenant' | 'id'>): string {
  return `${tenant}/${id}`;
}

function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

const ALL = 10_000;
const QUERY = { ef: 0, includeValues: false, includeMetadata: false } as const;
const ORIGIN = new Uint8Array(4 * DIMENSION);
