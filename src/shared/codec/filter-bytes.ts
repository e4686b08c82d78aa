/** Filters as they travel, and as they reach the engine: the bytes of an encoded Struct. */
import { checkAtMost, invalidField } from '../checks.js';
import { isFlotillaError, limitExceeded } from '../errors.js';
import { type Filter, parseFilter } from '../filter.js';
import { LIMITS } from '../limits.js';
import type { IndexedField } from '../types.js';
import { decodeStruct, encodeStruct, type JsonObject } from './struct.js';

/** A level of `$and` is a list and the object in it; the innermost level may end in a `$in`. */
const STRUCT_DEPTH_MAX = 2 * LIMITS.filterDepthMax.value + 1;

/** The bytes of a filter that `parseFilter` accepts. */
export function encodeFilter(json: JsonObject): Uint8Array {
  return encodeStruct(json, { maxDepth: STRUCT_DEPTH_MAX });
}

/**
 * The filter in the bytes, checked against the collection's declared fields. Throws as
 * `parseFilter` does, and INVALID_REQUEST for bytes that are no Struct.
 */
export function decodeFilter(
  bytes: Uint8Array,
  fields: readonly IndexedField[],
  at = 'filter',
): Filter {
  checkAtMost('filterBytesMax', bytes.length, at);
  return parseFilter(decodeJson(bytes, at), fields, at);
}

function decodeJson(bytes: Uint8Array, at: string): JsonObject {
  try {
    // Which number is wrong the parser says, which knows where it stands.
    return decodeStruct(bytes, { maxDepth: STRUCT_DEPTH_MAX, anyNumber: true });
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    if (error.reason === 'LIMIT_EXCEEDED') throw limitExceeded('filterDepthMax', at);
    throw invalidField(at, 'is malformed, it must be an encoded google.protobuf.Struct', error);
  }
}
