/** JSON merge patches (RFC 7396) of metadata in their encoded form. */
import {
  decodeStruct,
  encodeStruct,
  isObject,
  type JsonObject,
  type JsonValue,
} from '../../shared/codec/struct.js';
import { isFlotillaError } from '../../shared/errors.js';
import type { ErrorBody } from '../../shared/types.js';

/**
 * What merged metadata may be at most. Replicas have to agree on it whatever version they run, so
 * it stays as it is, like what it guards, when the limits at the door are moved.
 */
const MERGED_BYTES_MAX = 65_536;
const MERGED_LEVELS_MAX = 16;

/**
 * The metadata with the patch merged in, or why it cannot be. Decodes both and encodes the result:
 * some microseconds a kilobyte.
 */
export function mergedMetadata(metadata: Uint8Array, patch: Uint8Array): Uint8Array | ErrorBody {
  const form = { maxDepth: MERGED_LEVELS_MAX };
  try {
    const merged = mergeObjects(decodeStruct(metadata, form), decodeStruct(patch, form));
    const encoded = encodeStruct(merged, form);
    return encoded.length <= MERGED_BYTES_MAX ? encoded : tooLarge(encoded.length);
  } catch (error) {
    if (isFlotillaError(error)) return error.body;
    throw error;
  }
}

/** Fields of the target first, in their order, then those that the patch adds. */
function mergeObjects(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map<string, JsonValue>(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, isObject(value) ? mergeInto(merged.get(name), value) : value);
  }
  // Not by assignment, which would swallow a field of the name __proto__.
  return Object.fromEntries(merged);
}

function mergeInto(target: JsonValue | undefined, patch: JsonObject): JsonObject {
  return mergeObjects(isObject(target) ? target : {}, patch);
}

function tooLarge(sizeBytes: number): ErrorBody {
  return {
    reason: 'LIMIT_EXCEEDED',
    message: `the metadata would have ${sizeBytes} bytes, the limit is ${MERGED_BYTES_MAX}`,
    limit: { name: 'metadataBytesMax', value: MERGED_BYTES_MAX },
  };
}
