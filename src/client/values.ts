/** What callers give, as the wire carries it. All of them throw INVALID_REQUEST. */
import { floatBytes, isWellFormed } from '../shared/bytes.js';
import { invalidField } from '../shared/checks.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';
import { encodeStruct, type JsonObject, type JsonValue } from '../shared/codec/struct.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';

/** Metadata of which nothing is known but that JSON can hold them. */
export type Metadata = JsonObject;

/** Objects that JSON makes something else of, or nothing. */
type NotJson =
  | Date
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | ((...args: never) => unknown);

/** Interfaces are looked into; what is JSON as it stands is left as it is, however deep. */
type Storable<T> = unknown extends T
  ? T
  : T extends JsonValue | undefined
    ? T
    : T extends NotJson
      ? never
      : T extends object
        ? MetadataShape<T>
        : never;

/**
 * The type `M` itself where its fields are such that JSON can hold them. To be used as a bound,
 * `M extends MetadataShape<M>`: that interfaces meet, which are no `Metadata` for want of an index.
 */
export type MetadataShape<M> = { readonly [Name in keyof M]: Storable<M[Name]> };

/** Little-endian float32. NaN and infinities are left to the server. */
export function vectorBytes(values: Float32Array | readonly number[], field: string): Uint8Array {
  if (values instanceof Float32Array) return floatBytes(values);
  if (!Array.isArray(values)) {
    throw invalidField(field, `is ${kindOf(values)}, send a Float32Array or an array of numbers`);
  }
  const floats = new Float32Array(values.length);
  for (let at = 0; at < floats.length; at++) {
    const value: unknown = values[at];
    // Null and holes, say, would else become 0.
    if (typeof value !== 'number') {
      throw invalidField(`${field}[${at}]`, `is ${kindOf(value)}, send numbers`);
    }
    floats[at] = value;
  }
  return floatBytes(floats);
}

/** The list, where it is one and every element is there. */
export function wholeList<T>(list: readonly T[], field: string): readonly T[] {
  if (!Array.isArray(list)) throw invalidField(field, `is ${kindOf(list)}, send an array`);
  for (let at = 0; at < list.length; at++) {
    const element: unknown = list[at];
    if (element !== undefined && element !== null) continue;
    throw invalidField(`${field}[${at}]`, `is ${kindOf(element)}, leave it out`);
  }
  return list;
}

/** `undefined`, `null`, `a list`, `an object`, `a string`. */
function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** An interface has no index, and so is no `JsonObject`: what JSON cannot hold is found here. */
export function metadataBytes(metadata: object | undefined, field: string): Uint8Array {
  if (metadata === undefined) return NO_BYTES;
  try {
    return encodeStruct(metadata as JsonObject);
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const message = `${field}: ${error.message}`;
    throw FlotillaError.fromBody({ ...error.body, field, message }, error);
  }
}

/** Half a surrogate pair would arrive as another id, say, than the one that was given. */
export function wellFormed(text: string, field: string): string {
  if (typeof text === 'string' && isWellFormed(text)) return text;
  const fault = typeof text === 'string' ? 'has half a surrogate pair' : `is ${kindOf(text)}`;
  throw invalidField(field, `${fault}, send a string`);
}

/** One of the words: on the wire another one would look like the default. */
export function oneOf<T extends string>(value: T, words: readonly T[], field: string): T {
  if (words.includes(value)) return value;
  throw invalidField(field, `is "${value}", it must be one of ${words.join(', ')}`);
}

/** Numbers that the wire cannot carry; limits are the server's. */
export function wholeNumber(value: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  throw invalidField(field, `is ${value}, it must be a whole number from 0 to ${2 ** 32 - 1}`);
}

/** Empty where there is none: an empty version would be none on the wire. */
export function versionText(version: string | undefined, field: string): string {
  if (version === undefined || (typeof version === 'string' && version !== '')) {
    return version ?? '';
  }
  const fault = version === '' ? 'is empty' : `is ${kindOf(version)}`;
  throw invalidField(field, `${fault}, send the version of a record as it was read`);
}

export function checkedTtl(ttlMs: number | undefined, field: string): number | undefined {
  if (ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs >= 0)) return ttlMs;
  throw invalidField(field, `is ${ttlMs}, it must be a whole number of milliseconds, 0 for ever`);
}
