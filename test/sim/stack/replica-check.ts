/**
 * Goal: tell a replica that does not hold, or does not find, what its log says. Method: the engine
 * is asked like any other time, right after it has applied something, and held against the replay.
 */
import type { Engine, RecordKey } from '../../../src/engine/engine.js';
import { decodeStruct } from '../../../src/shared/codec/struct.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import { canonical, type ModelRecord } from '../../unit/engine/model/shard-model.js';
import { DIMENSION } from './record-content.js';
import type { Records, ShardReplay, ShardState } from './shard-replay.js';

/** It is closed, or has stopped: whoever uses it hears of that, too. */
const ENDED: ReadonlySet<string> = new Set(['NODE_NOT_READY', 'STORE_POISONED', 'LOG_DAMAGED']);

/** How much of a replica is looked at. */
export interface CheckScope {
  readonly ownershipVersion: number;
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
    for (const [collectionId, records] of state) {
      const found = await recordDifference(engine, collectionId, records, scope);
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
  const expectedIds = [...state.keys()].sort();
  if (ids.join() !== expectedIds.join()) return `collections are ${ids}, not ${expectedIds}`;
  const expiring = (await engine.expired(Number.MAX_SAFE_INTEGER, ALL)).flatMap(
    ({ collectionId, records }) => records.map(({ id }) => `${collectionId}/${id}`),
  );
  const expected = [...state].flatMap(([collectionId, records]) =>
    [...records.values()]
      .filter(({ expiresAtMs }) => expiresAtMs !== undefined)
      .map(({ id }) => `${collectionId}/${id}`),
  );
  if (expiring.sort().join() === expected.sort().join()) return '';
  return `${expiring.join() || 'nothing'} expires, not ${expected.join() || 'nothing'}`;
}

async function recordDifference(
  engine: Engine,
  collectionId: number,
  records: Records,
  { ownershipVersion, closely, reads }: CheckScope,
): Promise<string> {
  const scope = { collectionId, ownershipVersion };
  const [all = []] = await engine.search(scope, [{ ...QUERY, vector: ORIGIN, k: ALL }]);
  for (const { id, version } of all) {
    const record = records.get(id);
    if (record?.version !== version) return `it finds ${id} ${version}, not ${record?.version}`;
  }
  if (all.length !== records.size) return `it finds ${all.length} of ${records.size} records`;
  const chosen = [...records.values()].filter((_, at) => {
    return closely === 'all' || at === closely % records.size;
  });
  for (const record of chosen) {
    const difference =
      (await nearestDifference(engine, scope, record)) ||
      (reads ? await storedDifference(engine, scope, record) : '');
    if (difference !== '') return difference;
  }
  return '';
}

/** Whoever asks for the record's own vector must find it first, whichever label it has. */
async function nearestDifference(
  engine: Engine,
  scope: Parameters<Engine['search']>[0],
  { id, vector }: ModelRecord,
): Promise<string> {
  const [hits = []] = await engine.search(scope, [{ ...QUERY, vector: bytesOf(vector), k: 1 }]);
  const [hit] = hits;
  if (hit?.id === id && hit.distance === 0) return '';
  return `nearest to the vector of ${id} is ${hit?.id} at ${hit?.distance}`;
}

async function storedDifference(
  engine: Engine,
  scope: Parameters<Engine['fetch']>[0],
  { slot, tenant, id, version, vector, metadata }: ModelRecord,
): Promise<string> {
  const key: RecordKey = { slot, tenant, id };
  const [stored] = await engine.fetch(scope, [key], { values: true, metadata: true });
  if (stored?.version !== version) return `${id} is stored as ${stored?.version}, not ${version}`;
  const isVector = Buffer.compare(stored.values ?? ORIGIN, bytesOf(vector)) === 0;
  const found = canonical(decodeStruct(stored.metadata ?? new Uint8Array()));
  if (isVector && found === canonical(metadata)) return '';
  return `${id} ${version} is stored with ${isVector ? found : 'another vector'}`;
}

function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

const ALL = 10_000;
const QUERY = { ef: 0, includeValues: false, includeMetadata: false } as const;
const ORIGIN = new Uint8Array(4 * DIMENSION);
