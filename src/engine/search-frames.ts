/**
 * How a plain search and its hits lie in the frames of a ring: numbers and versions in 8 bytes
 * each, then what has no fixed size. Frames do not outlive the process, so they have no version.
 */
import type { ReadScope, SearchQuery } from './engine.js';
import type { NamedHit, PlainHit } from './plain-search.js';
import { placesInName } from './record-name.js';
import type { RingReader, RingWriter } from './thread-ring.js';

/** A plain query of one search call. */
export interface SearchFrame {
  /** Of the call. */
  readonly id: number;
  readonly scope: ReadScope;
  readonly query: SearchQuery;
}

/** What one search call is answered. */
export interface HitsFrame {
  readonly id: number;
  readonly hits: PlainHit[];
}

/**
 * Numbers before the rest: id, collection, ownership version, k, ef, threshold, and the sizes of
 * tenant, vector and filter, which follow.
 */
const SEARCH_NUMBERS = 9;
/** In the place of a size: the query has no such part. */
const ABSENT = -1;
const CHARACTER_BYTES = 2;
/** Numbers before the hits: id, hits, bytes a character, bytes of all characters. */
const HITS_NUMBERS = 4;
/** Of a hit: distance, version, characters of the tenant, of the id. */
const HIT_NUMBERS = 4;
const NUMBER_BYTES = 8;
const LATIN_MAX = 0xff;

/** Returns false, with nothing written, where the ring has no room for the query. */
export function writeSearch(
  ring: RingWriter,
  id: number,
  { collectionId, ownershipVersion }: ReadScope,
  { k, ef, scoreThreshold = Number.POSITIVE_INFINITY, tenant, vector, filter }: SearchQuery,
): boolean {
  const tenantAt = SEARCH_NUMBERS * NUMBER_BYTES;
  const vectorAt = tenantAt + CHARACTER_BYTES * (tenant?.length ?? 0);
  const filterAt = vectorAt + vector.length;
  const sizeBytes = filterAt + (filter?.length ?? 0);
  const place = ring.reserve(sizeBytes);
  if (place === undefined) return false;
  const { numbers, bytes, units } = ring;
  const at = place / NUMBER_BYTES;
  numbers[at] = id;
  numbers[at + 1] = collectionId;
  numbers[at + 2] = ownershipVersion;
  numbers[at + 3] = k;
  numbers[at + 4] = ef;
  numbers[at + 5] = scoreThreshold;
  numbers[at + 6] = tenant === undefined ? ABSENT : CHARACTER_BYTES * tenant.length;
  numbers[at + 7] = vector.length;
  numbers[at + 8] = filter === undefined ? ABSENT : filter.length;
  const unitsAt = (place + tenantAt) / CHARACTER_BYTES;
  for (let unit = 0; unit < (tenant?.length ?? 0); unit++) {
    units[unitsAt + unit] = tenant?.charCodeAt(unit) ?? 0;
  }
  bytes.set(vector, place + vectorAt);
  if (filter !== undefined) bytes.set(filter, place + filterAt);
  ring.commit(sizeBytes);
  return true;
}

/** The frame at `place`, which may be released then. */
export function readSearch(ring: RingReader, place: number): SearchFrame {
  const { numbers, bytes } = ring;
  const at = place / NUMBER_BYTES;
  const tenantBytes = numbers[at + 6] as number;
  const filterBytes = numbers[at + 8] as number;
  const tenantAt = place + SEARCH_NUMBERS * NUMBER_BYTES;
  const vectorAt = tenantAt + Math.max(0, tenantBytes);
  const filterAt = vectorAt + (numbers[at + 7] as number);
  return {
    id: numbers[at] as number,
    scope: {
      collectionId: numbers[at + 1] as number,
      ownershipVersion: numbers[at + 2] as number,
    },
    query: {
      vector: bytes.slice(vectorAt, filterAt),
      k: numbers[at + 3] as number,
      ef: numbers[at + 4] as number,
      scoreThreshold: numbers[at + 5] as number,
      includeValues: false,
      includeMetadata: false,
      ...(tenantBytes !== ABSENT && { tenant: ring.text(tenantAt, tenantBytes, 'utf16le') }),
      ...(filterBytes !== ABSENT && { filter: bytes.slice(filterAt, filterAt + filterBytes) }),
    },
  };
}

/** Returns false, with nothing written, where the ring has no room for the hits. */
export function writeHits(ring: RingWriter, id: number, hits: readonly NamedHit[]): boolean {
  const numbersBytes = (HITS_NUMBERS + HIT_NUMBERS * hits.length) * NUMBER_BYTES;
  let charactersMax = 0;
  for (const { name } of hits) charactersMax += name.length;
  const place = ring.reserve(numbersBytes + 2 * charactersMax);
  if (place === undefined) return false;
  const { numbers, words } = ring;
  const at = place / NUMBER_BYTES;
  let hitAt = at + HITS_NUMBERS;
  for (const { version, distance } of hits) {
    numbers[hitAt] = distance;
    words[hitAt + 1] = version;
    hitAt += HIT_NUMBERS;
  }
  const textBytes = writeNames(ring, hits, at + HITS_NUMBERS, place + numbersBytes);
  numbers[at] = id;
  numbers[at + 1] = hits.length;
  numbers[at + 2] = textBytes.perCharacter;
  numbers[at + 3] = textBytes.total;
  ring.commit(numbersBytes + textBytes.total);
  return true;
}

/** The frame at `place`, which may be released then. */
export function readHits(ring: RingReader, place: number): HitsFrame {
  const { numbers, words } = ring;
  const at = place / NUMBER_BYTES;
  const count = numbers[at + 1] as number;
  const textPlace = place + (HITS_NUMBERS + HIT_NUMBERS * count) * NUMBER_BYTES;
  const encoding = numbers[at + 2] === 1 ? 'latin1' : 'utf16le';
  const text = ring.text(textPlace, numbers[at + 3] as number, encoding);
  const hits: PlainHit[] = [];
  let textAt = 0;
  for (let hitAt = at + HITS_NUMBERS; hits.length < count; hitAt += HIT_NUMBERS) {
    const idAt = textAt + (numbers[hitAt + 2] as number);
    const end = idAt + (numbers[hitAt + 3] as number);
    hits.push({
      tenant: text.slice(textAt, idAt),
      id: text.slice(idAt, end),
      version: words[hitAt + 1] as bigint,
      distance: numbers[hitAt] as number,
    });
    textAt = end;
  }
  return { id: numbers[at] as number, hits };
}

/** Writes tenants and ids, one byte a character where that is enough for all of them. */
function writeNames(
  { numbers, bytes, units }: RingWriter,
  hits: readonly NamedHit[],
  hitsAt: number,
  place: number,
): { readonly perCharacter: number; readonly total: number } {
  let hitAt = hitsAt;
  let length = 0;
  let isWide = false;
  for (const { name } of hits) {
    const { tenantAt, idAt } = placesInName(name);
    numbers[hitAt + 2] = idAt - tenantAt;
    numbers[hitAt + 3] = name.length - idAt;
    hitAt += HIT_NUMBERS;
    for (let from = tenantAt; from < name.length; from++) {
      const unit = name.charCodeAt(from);
      isWide ||= unit > LATIN_MAX;
      bytes[place + length++] = unit;
    }
  }
  if (!isWide) return { perCharacter: 1, total: length };
  let at = place / 2;
  for (const { name } of hits) {
    for (let from = placesInName(name).tenantAt; from < name.length; from++) {
      units[at++] = name.charCodeAt(from);
    }
  }
  return { perCharacter: 2, total: 2 * length };
}
