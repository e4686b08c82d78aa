/**
 * Reads all that is stored at one moment, and compares the records with the hashes that the store
 * keeps of them. In slices; a hash a record.
 */
import { NO_HASH, sameContent } from '../../shared/content-hash.js';
import type { ContentFault, SlotContent } from '../engine.js';
import type { PinnedStore } from '../pinned-store.js';
import { openRecordValue } from '../record-value.js';
import { openValue } from '../sealed-value.js';
import type { Slices } from '../slices.js';
import {
  collectionIdOf,
  isRecordKey,
  isSlotSumKey,
  recordKeyParts,
  slotSumOfKey,
} from '../store-keys.js';
import { HASH_WORDS, RecordHasher } from './record-hash.js';
import { SlotSums, slotContent } from './slot-sums.js';
import { readSlotSum } from './stored-sums.js';

interface CollectionSlot {
  readonly collectionId: number;
  readonly content: SlotContent;
}

/** Slots whose records are not those that the kept hash counts. Throws as `openValue` does. */
export async function deepCheck(store: PinnedStore, slices: Slices): Promise<ContentFault[]> {
  const kept: CollectionSlot[] = [];
  const found = new Map<number, SlotSums>();
  const hasher = new RecordHasher();
  const hash = new Uint32Array(HASH_WORDS);
  for await (const page of slices.between(store.pages())) {
    for (const { key, value } of page) {
      if (isSlotSumKey(key)) {
        const { collectionId, slot } = slotSumOfKey(key);
        const content = slotContent(slot, openValue(key, value, readSlotSum));
        kept.push({ collectionId, content });
      } else if (isRecordKey(key)) {
        const { slot, tenant, id } = recordKeyParts(key);
        hasher.hash(tenant, id, openRecordValue(key, value), hash, 0);
        sumsOf(found, collectionIdOf(key)).add(slot, hash, 0);
      }
    }
  }
  const stored = [...found].flatMap(([collectionId, sums]) =>
    sums.contents().map((content) => ({ collectionId, content })),
  );
  return faultsBetween(kept, stored);
}

function sumsOf(found: Map<number, SlotSums>, collectionId: number): SlotSums {
  const known = found.get(collectionId);
  if (known !== undefined) return known;
  const sums = new SlotSums();
  found.set(collectionId, sums);
  return sums;
}

/** By collection and slot. */
function faultsBetween(
  kept: readonly CollectionSlot[],
  found: readonly CollectionSlot[],
): ContentFault[] {
  const keyOf = (one: CollectionSlot): string => `${one.collectionId}/${one.content.slot}`;
  const keptByKey = new Map(kept.map((one) => [keyOf(one), one]));
  const foundByKey = new Map(found.map((one) => [keyOf(one), one]));
  const all = new Map([...keptByKey, ...foundByKey]);
  const faults: ContentFault[] = [];
  for (const [key, { collectionId, content }] of all) {
    const nothing: SlotContent = { slot: content.slot, records: 0, hash: NO_HASH };
    const fault = {
      collectionId,
      kept: keptByKey.get(key)?.content ?? nothing,
      found: foundByKey.get(key)?.content ?? nothing,
    };
    if (!sameContent(fault.kept, fault.found)) faults.push(fault);
  }
  return faults.sort((a, b) => a.collectionId - b.collectionId || a.kept.slot - b.kept.slot);
}
