/** What callers give, as the wire carries it. All of them throw INVALID_REQUEST. */
import { floatBytes, isWellFormed } from '../shared/bytes.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';
import { encodeStruct, type JsonObject } from '../shared/codec/struct.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';

/** What can be stored beside a vector: anything that JSON can hold. */
export type Metadata = JsonObject;

/** Little-endian float32; what is not a number becomes NaN, which the server refuses. */
export function vectorBytes(values: Float32Array | readonly number[], field: string): Uint8Array {
  if (values instanceof Float32Array) return floatBytes(values);
  if (Array.isArray(values)) {
    const floats = new Float32Array(values.length);
    for (let at = 0; at < floats.length; at++) {
      const value: unknown = values[at];
      // Null and holes, say, would else become 0.
      floats[at] = typeof value === 'number' ? value : Number.NaN;
    }
    return floatBytes(floats);
  }
  const message = `${field} is neither a Float32Array nor an array of numbers`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

export function metadataBytes(metadata: Metadata | undefined, field: string): Uint8Array {
  if (metadata === undefined) return NO_BYTES;
  try {
    return encodeStruct(metadata);
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const message = `${field}: ${error.message}`;
    throw FlotillaError.fromBody({ ...error.body, field, message }, error);
  }
}

/** Half a surrogate pair would arrive as another id, say, than the one that was given. */
export function wellFormed(text: string, field: string): string {
  if (typeof text === 'string' && isWellFormed(text)) return text;
  const fault = typeof text === 'string' ? 'has half a surrogate pair' : `is a ${typeof text}`;
  throw new FlotillaError('INVALID_REQUEST', `${field} ${fault}, send a string`, { field });
}

/** Numbers that the wire cannot carry; limits are the server's. */
export function wholeNumber(value: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  const message = `${field} is ${value}, it must be a whole number`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

/** Empty where there is none: an empty version would be none on the wire. */
export function versionText(version: string | undefined, field: string): string {
  if (version === undefined || (typeof version === 'string' && version !== '')) {
    return version ?? '';
  }
  const fault = version === '' ? 'is empty' : `is a ${typeof version}`;
  const message = `${field} ${fault}, send the version of a record as it was read`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

export function checkedTtl(ttlMs: number | undefined, field: string): number | undefined {
  if (ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs >= 0)) return ttlMs;
  const message = `${field} is ${ttlMs}, it must be a whole number of milliseconds`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}
