/**
 * The content hash as the store keeps it: a value for each slot that holds records, changed in the
 * same batch as they are. What is stored is checked against the records at each open, which reads
 * all of them anyway: damage that no checksum sees is found there (W5, P-8).
 */
import type { ByteReader } from '../../shared/bytes.js';
import { sameContent } from '../../shared/content-hash.js';
import { FlotillaError } from '../../shared/errors.js';
import type { PointStore } from '../point-store.js';
import { openValue, sealValue } from '../sealed-value.js';
import { CONTENT_FORMAT_KEY, SLOT_SUMS_RANGE, slotSumKey, slotSumOfKey } from '../store-keys.js';
import type { WriteBatch } from '../write-batch.js';
import type { ContentHash } from './content-hash.js';
import { HASH_WORDS } from './record-hash.js';
import { type SlotSum, slotContent } from './slot-sums.js';

/** Of what is hashed, and how. A store with another one, or none, gets its sums made anew. */
const CONTENT_FORMAT = 1;

/** A collection by its id, as far as its content is concerned. */
export interface HashedCollection {
  readonly collectionId: number;
  readonly contents: ContentHash;
}

/** Notes that the store keeps sums from here on. */
export function putContentFormat(batch: WriteBatch): void {
  const value = sealValue(CONTENT_FORMAT_KEY, (body) => body.varint(CONTENT_FORMAT));
  batch.put(CONTENT_FORMAT_KEY, value);
}

/** Puts the sums that have changed since the last call into the batch. */
export function putChangedSums(batch: WriteBatch, collections: Iterable<HashedCollection>): void {
  for (const { collectionId, contents } of collections) {
    for (const slot of contents.takeChanged()) {
      const key = slotSumKey(collectionId, slot);
      const one = contents.sums.get(slot);
      if (one === undefined) batch.delete(key);
      else
        batch.put(
          key,
          sealValue(key, (body) => {
            body.varint(one.records);
            for (const word of one.sum) body.u32(word);
          }),
        );
    }
  }
}

/** Deletes the sums of a collection that is dropped. */
export function deleteSums(batch: WriteBatch, { collectionId, contents }: HashedCollection): void {
  const slots = new Set(contents.takeChanged());
  for (const [slot] of contents.sums.entries()) slots.add(slot);
  for (const slot of slots) batch.delete(slotSumKey(collectionId, slot));
}

/**
 * Compares the sums of what was loaded with those that are stored. Throws LOG_DAMAGED where they
 * differ. A store that keeps none yet, of an earlier version, gets them.
 */
export async function checkStoredSums(
  store: PointStore,
  collections: ReadonlyMap<number, HashedCollection>,
  batch: WriteBatch,
): Promise<void> {
  const format = store.get(CONTENT_FORMAT_KEY);
  const known = format && openValue(CONTENT_FORMAT_KEY, format, (body) => body.varint());
  if (known !== CONTENT_FORMAT) {
    putContentFormat(batch);
    putChangedSums(batch, collections.values());
    return;
  }
  let checked = 0;
  for await (const page of store.pages(SLOT_SUMS_RANGE)) {
    for (const { key, value } of page) {
      const { collectionId, slot } = slotSumOfKey(key);
      const stored = openValue(key, value, readSlotSum);
      compareSum(collectionId, slot, stored, collections.get(collectionId)?.contents);
      checked++;
    }
  }
  let expected = 0;
  for (const { contents } of collections.values()) {
    expected += contents.takeChanged().size;
  }
  if (checked === expected) return;
  throw damaged(`records of ${expected} slots are stored, and the hashes of ${checked}`);
}

export function readSlotSum(body: ByteReader): SlotSum {
  const records = body.varint();
  const sum = new Uint32Array(HASH_WORDS);
  for (let word = 0; word < HASH_WORDS; word++) sum[word] = body.u32();
  return { records, sum };
}

function compareSum(
  collectionId: number,
  slot: number,
  stored: SlotSum,
  contents: ContentHash | undefined,
): void {
  const loaded = contents?.sums.get(slot);
  const kept = slotContent(slot, stored);
  const found = loaded && slotContent(slot, loaded);
  if (found !== undefined && sameContent(found, kept)) return;
  throw damaged(
    `slot ${slot} of collection ${collectionId} should hold ${kept.records} records with the ` +
      `hash ${kept.hash}, and holds ${found?.records ?? 0} with ${found?.hash ?? 'none'}`,
  );
}

function damaged(what: string): FlotillaError {
  return new FlotillaError(
    'LOG_DAMAGED',
    `the point store does not hold what was written: ${what}`,
  );
}
