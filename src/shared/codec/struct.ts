/**
 * The wire form of `google.protobuf.Struct`, in which metadata travels and is stored.
 *
 *   Struct    { map<string, Value> fields = 1; }
 *   ListValue { repeated Value values = 1; }
 *   Value     { oneof: 1 null (enum), 2 number (double), 3 string, 4 bool, 5 Struct, 6 ListValue }
 *
 * `validateStruct` and `decodeStruct` accept exactly the same bytes: the door validates without
 * building objects, the reader builds without surprises. Beyond protobuf, a value must have a
 * kind, numbers must be finite, and integers must be exact in a double.
 */
import { isUtf8 } from 'node:buffer';
import { ByteWriter, isWellFormed, MalformedBytesError, utf8 } from '../bytes.js';
import { FlotillaError, isFlotillaError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { WIRE, WireCursor } from './wire-cursor.js';

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export type JsonObject = { readonly [name: string]: JsonValue };

export interface StructOptions {
  /** Levels of nesting, the outermost object included. @default LIMITS.metadataDepthMax */
  readonly maxDepth?: number;
  /**
   * Reads numbers as they are, also NaN, infinities and integers above 2^53: for readers that look
   * at them again where they know the place. @default false
   */
  readonly anyNumber?: boolean;
}

const VALUE = { null: 1, number: 2, string: 3, bool: 4, struct: 5, list: 6 } as const;
const INTEGER_MAX = 2 ** 53;
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The object's bytes. Properties that are `undefined` are left out, as in JSON; everything else
 * that JSON cannot hold is refused with INVALID_REQUEST, too deep nesting with LIMIT_EXCEEDED.
 */
export function encodeStruct(object: JsonObject, options: StructOptions = {}): Uint8Array {
  if (typeof object !== 'object' || object === null || isList(object)) {
    throw new FlotillaError('INVALID_REQUEST', 'Metadata is not an object');
  }
  checkPlain(object, '');
  return encodeFields(object, '', depthLimit(options));
}

/** The object in the bytes. Throws as `validateStruct` does. */
export function decodeStruct(bytes: Uint8Array, options: StructOptions = {}): JsonObject {
  return readWhole(new StructReader(bytes, { decodesText: true, ...options }), options);
}

/**
 * Walks the bytes without building anything. Throws INVALID_REQUEST for malformed bytes, numbers
 * that are not finite and integers above 2^53, LIMIT_EXCEEDED for too deep nesting. Which number
 * it was `structFault` tells.
 */
export function validateStruct(bytes: Uint8Array, options: StructOptions = {}): void {
  readWhole(new StructReader(bytes, { decodesText: false, ...options }), options);
}

/**
 * The error of bytes that `validateStruct` refuses, in better words where it can be said in which
 * field the fault is. Builds the whole object: for errors only.
 */
export function structFault(bytes: Uint8Array, error: FlotillaError): FlotillaError {
  try {
    encodeStruct(decodeStruct(bytes, { anyNumber: true }));
  } catch (better) {
    if (isFlotillaError(better)) return better;
    throw better;
  }
  return error;
}

function depthLimit(options: StructOptions): number {
  return options.maxDepth ?? LIMITS.metadataDepthMax.value;
}

function checkDepth(levelsLeft: number): void {
  if (levelsLeft > 0) return;
  const message = `Metadata has more than ${LIMITS.metadataDepthMax.value} levels, flatten it`;
  throw new FlotillaError('LIMIT_EXCEEDED', message, {
    limit: 'metadataDepthMax',
  });
}

function checkNumber(value: number, where: string): void {
  if (!Number.isFinite(value)) {
    throw new FlotillaError('INVALID_REQUEST', `Metadata ${where} is not a finite number`);
  }
  if (Number.isInteger(value) && Math.abs(value) > INTEGER_MAX) {
    throw new FlotillaError(
      'INVALID_REQUEST',
      `Metadata ${where} is an integer above 2^53, which a double cannot hold, use a string`,
    );
  }
}

// Writing.

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType;
}

function encodeFields(object: JsonObject, path: string, levelsLeft: number): Uint8Array {
  checkDepth(levelsLeft);
  const writer = new ByteWriter();
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    checkText(name, path);
    const entry = new ByteWriter();
    entry.u8(tag(1, WIRE.length)).string(name);
    const encoded = encodeValue(value, path === '' ? name : `${path}.${name}`, levelsLeft);
    entry.u8(tag(2, WIRE.length)).bytes(encoded);
    writer.u8(tag(1, WIRE.length)).bytes(entry.finish());
  }
  return writer.finish();
}

function encodeList(values: readonly JsonValue[], path: string, levelsLeft: number): Uint8Array {
  checkDepth(levelsLeft);
  const writer = new ByteWriter();
  // Unlike `forEach`, it does not pass by the holes of a list.
  for (const [index, value] of values.entries()) {
    writer.u8(tag(1, WIRE.length)).bytes(encodeValue(value, `${path}[${index}]`, levelsLeft));
  }
  return writer.finish();
}

function encodeValue(value: JsonValue, path: string, levelsLeft: number): Uint8Array {
  const writer = new ByteWriter(16);
  if (value === null) return writer.u8(tag(VALUE.null, WIRE.varint)).u8(0).finish();
  switch (typeof value) {
    case 'number':
      checkNumber(value, path);
      return writer.u8(tag(VALUE.number, WIRE.fixed64)).f64(value).finish();
    case 'string':
      checkText(value, path);
      return writer.u8(tag(VALUE.string, WIRE.length)).bytes(utf8(value)).finish();
    case 'boolean':
      return writer.u8(tag(VALUE.bool, WIRE.varint)).bool(value).finish();
    case 'object': {
      checkPlain(value, path);
      const [kind, encoded] = isList(value)
        ? [VALUE.list, encodeList(value, path, levelsLeft - 1)]
        : [VALUE.struct, encodeFields(value, path, levelsLeft - 1)];
      return writer.u8(tag(kind, WIRE.length)).bytes(encoded).finish();
    }
    default:
      throw notJson(path, typeof value);
  }
}

/** Not so a list, a Date, a Map or another class instance. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Objects of other realms have another root, which has no prototype either.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** A class instance would be stored as the object that it is not. */
function checkPlain(value: object, path: string): void {
  if (isPlainObject(value) || Array.isArray(value)) return;
  throw notJson(path, value.constructor?.name ?? 'class');
}

/** Half a surrogate pair would be stored as another string than the one that was given. */
function checkText(text: string, path: string): void {
  if (!isWellFormed(text)) throw notJson(path, 'string with half a surrogate pair');
}

function notJson(path: string, kind: string): FlotillaError {
  const where = path === '' ? 'Metadata' : `Metadata ${path}`;
  return new FlotillaError('INVALID_REQUEST', `${where} is a ${kind}, which JSON cannot hold`);
}

/** `Array.isArray` does not narrow readonly arrays. */
export function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** A class instance is none, whatever fields it has. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && isPlainObject(value);
}

// Reading. Every function reads up to `end`, the end of its own message.

function readWhole(reader: StructReader, options: StructOptions): JsonObject {
  try {
    return readStruct(reader, reader.bytes.length, depthLimit(options));
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
    const message = `Metadata is not a valid Struct: ${error.message}`;
    throw new FlotillaError('INVALID_REQUEST', message);
  }
}

function readStruct(reader: StructReader, end: number, levelsLeft: number): JsonObject {
  checkDepth(levelsLeft);
  const object: Record<string, JsonValue> = {};
  while (reader.at < end) {
    const key = reader.varint(end);
    if (key !== tag(1, WIRE.length)) {
      reader.skip(key, end);
      continue;
    }
    const [name, value] = readEntry(reader, reader.lengthEnd(end), levelsLeft);
    setOwn(object, name, value);
  }
  return object;
}

function readEntry(reader: StructReader, end: number, levelsLeft: number): [string, JsonValue] {
  let name = '';
  let value: JsonValue | undefined;
  while (reader.at < end) {
    const key = reader.varint(end);
    if (key === tag(1, WIRE.length)) name = reader.text(reader.lengthEnd(end));
    else if (key === tag(2, WIRE.length)) {
      value = readValue(reader, reader.lengthEnd(end), levelsLeft);
    } else reader.skip(key, end);
  }
  if (value === undefined) throw new MalformedBytesError('a field has no value');
  return [name, value];
}

function readValue(reader: StructReader, end: number, levelsLeft: number): JsonValue {
  let value: JsonValue | undefined;
  while (reader.at < end) {
    const key = reader.varint(end);
    switch (key) {
      case tag(VALUE.null, WIRE.varint):
        reader.isNonZeroVarint(end);
        value = null;
        break;
      case tag(VALUE.number, WIRE.fixed64):
        value = reader.double(end);
        if (!reader.takesAnyNumber) checkNumber(value, 'number');
        break;
      case tag(VALUE.string, WIRE.length):
        value = reader.text(reader.lengthEnd(end));
        break;
      case tag(VALUE.bool, WIRE.varint):
        value = reader.isNonZeroVarint(end);
        break;
      case tag(VALUE.struct, WIRE.length):
        value = readStruct(reader, reader.lengthEnd(end), levelsLeft - 1);
        break;
      case tag(VALUE.list, WIRE.length):
        value = readList(reader, reader.lengthEnd(end), levelsLeft - 1);
        break;
      default:
        reader.skip(key, end);
    }
  }
  if (value === undefined) throw new MalformedBytesError('a value has no kind');
  return value;
}

function readList(reader: StructReader, end: number, levelsLeft: number): JsonValue[] {
  checkDepth(levelsLeft);
  const values: JsonValue[] = [];
  while (reader.at < end) {
    const key = reader.varint(end);
    if (key === tag(1, WIRE.length)) {
      values.push(readValue(reader, reader.lengthEnd(end), levelsLeft));
    } else reader.skip(key, end);
  }
  return values;
}

/** Also for `__proto__`, which plain assignment would swallow. */
function setOwn(object: Record<string, JsonValue>, name: string, value: JsonValue): void {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/** What is malformed is a `MalformedBytesError`, which `readWhole` makes an INVALID_REQUEST. */
class StructReader extends WireCursor {
  readonly takesAnyNumber: boolean;
  readonly #decodesText: boolean;

  /** Without `decodesText` strings are only checked, and read as ''. */
  constructor(
    bytes: Uint8Array,
    { decodesText, anyNumber = false }: StructOptions & { readonly decodesText: boolean },
  ) {
    super(bytes);
    this.#decodesText = decodesText;
    this.takesAnyNumber = anyNumber;
  }

  text(end: number): string {
    const { buffer, byteOffset } = this.bytes;
    // Not with `subarray`, which takes longer to make a Buffer than the check takes.
    const bytes = new Uint8Array(buffer, byteOffset + this.at, end - this.at);
    this.at = end;
    if (!isUtf8(bytes)) throw new MalformedBytesError('a string is not UTF-8');
    return this.#decodesText ? DECODER.decode(bytes) : '';
  }
}
