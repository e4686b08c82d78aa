/**
 * The content hash of a whole replica, and what it says of the replicas of a shard. Those of slots
 * and collections are kept by the engine (W4).
 */

/** A collection's hash: 32 hexadecimal digits, absent while entries are being applied. */
interface CollectionHash {
  readonly collectionId: number;
  readonly contentHash?: string | undefined;
}

const MODULUS_BITS = 128;
const HASH_DIGITS = MODULUS_BITS / 4;

/** The hash of no records. */
export const NO_HASH = '0'.repeat(HASH_DIGITS);

/** How many records, and their hash. */
interface Content {
  readonly records: number;
  readonly hash: string;
}

/** Whether the same records are meant, as far as their number and hash can tell. */
export function sameContent(a: Content, b: Content): boolean {
  return a.hash === b.hash && a.records === b.records;
}

/**
 * The hash of all collections together, 32 hexadecimal digits; `undefined` where that of one is not
 * known. Each counts as often as an odd number that its id gives: the same records in another
 * collection are another content, and collections without records count for nothing.
 */
export function shardContentHash(collections: readonly CollectionHash[]): string | undefined {
  let sum = 0n;
  for (const { collectionId, contentHash } of collections) {
    if (contentHash === undefined) return undefined;
    sum += BigInt(`0x${contentHash}`) * BigInt(2 * collectionId + 1);
  }
  return BigInt.asUintN(MODULUS_BITS, sum).toString(16).padStart(HASH_DIGITS, '0');
}

/** Of what a replica says that it holds; its hash is empty where it says nothing. */
interface ReplicaContent {
  readonly nodeId: number;
  readonly contentHash: string;
  readonly contentIndex: number;
}

/**
 * The nodes whose replicas of one shard hold different records at the same index (P-6), ascending;
 * none where all that can be compared are equal.
 */
export function divergentNodes(replicas: readonly ReplicaContent[]): readonly number[] {
  const known = replicas.filter(({ contentHash }) => contentHash !== '');
  const differing = known.filter((one) => known.some((other) => differs(one, other)));
  return differing.map(({ nodeId }) => nodeId).sort((a, b) => a - b);
}

function differs(one: ReplicaContent, other: ReplicaContent): boolean {
  return one.contentIndex === other.contentIndex && one.contentHash !== other.contentHash;
}
