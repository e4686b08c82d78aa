/**
 * The values at some paths of a record's metadata, read from the encoded Struct: what nobody asks
 * for is stepped over. Finds what shared/filter.ts calls the values at a path.
 */
import { MalformedBytesError, utf8 } from '../../shared/bytes.js';
import type { FilterValue } from '../../shared/filter-values.js';
import { LIMITS } from '../../shared/limits.js';

/** What stands at one path of one record. */
export interface FieldContent {
  /** Whether there is anything but null, objects included. */
  readonly exists: boolean;
  /** The strings, numbers and booleans, those of lists one after the other. */
  readonly values: readonly FilterValue[];
}

interface Content {
  exists: boolean;
  values: FilterValue[];
}

/** A name of the asked paths; its children are the names that may follow it. */
interface PathNode {
  /** In UTF-8. */
  readonly name: Uint8Array;
  /** Position of the path that ends here; -1 where none does. */
  readonly pathAt: number;
  readonly children: PathNode[];
  /** Where the value of this name lies in the object that is being read; `start` is -1 for none. */
  start: number;
  end: number;
}

/** Fields of Struct, of its entries, of Value and of ListValue, as tags. */
const FIELDS = 10;
const ENTRY = { name: 10, value: 18 } as const;
const VALUE = { null: 8, number: 17, string: 26, bool: 32, struct: 42, list: 50 } as const;
const ELEMENT = 10;
const WIRE = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;

const EMPTY = Buffer.alloc(0);

/** Reads the same paths of many records. One call costs a walk over the metadata's top level. */
export class FieldReader {
  readonly #root: PathNode;
  readonly #contents: readonly Content[];
  #bytes: Buffer = EMPTY;
  #at = 0;

  /** The paths are distinct. */
  constructor(paths: readonly string[]) {
    this.#root = pathTree(paths);
    this.#contents = paths.map(() => ({ exists: false, values: [] }));
  }

  /**
   * One element per path, valid until the next call. Metadata that are no encoded Struct have
   * nothing at any path: they are refused at the door, so that none should be here.
   */
  read(metadata: Uint8Array): readonly FieldContent[] {
    this.#clear();
    this.#bytes = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.byteLength);
    try {
      this.#readStruct(0, metadata.length, this.#root, LIMITS.metadataDepthMax.value);
    } catch (error) {
      if (!(error instanceof MalformedBytesError)) throw error;
      this.#clear();
    }
    return this.#contents;
  }

  #clear(): void {
    for (const content of this.#contents) {
      content.exists = false;
      content.values.length = 0;
    }
  }

  /** Of names that come twice the last one counts, as everywhere in protobuf. */
  #readStruct(start: number, end: number, node: PathNode, levelsLeft: number): void {
    if (levelsLeft === 0) throw new MalformedBytesError('metadata are too deep');
    for (const child of node.children) child.start = -1;
    this.#at = start;
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag === FIELDS) this.#readEntry(this.#lengthEnd(end), node);
      else this.#skip(tag, end);
    }
    for (const child of node.children) {
      if (child.start >= 0) this.#readValue(child.start, child.end, child, levelsLeft - 1);
    }
  }

  #readEntry(end: number, node: PathNode): void {
    let nameStart = end;
    let nameEnd = end;
    let valueStart = -1;
    let valueEnd = end;
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag !== ENTRY.name && tag !== ENTRY.value) {
        this.#skip(tag, end);
        continue;
      }
      const partEnd = this.#lengthEnd(end);
      if (tag === ENTRY.name) [nameStart, nameEnd] = [this.#at, partEnd];
      else [valueStart, valueEnd] = [this.#at, partEnd];
      this.#at = partEnd;
    }
    if (valueStart < 0) throw new MalformedBytesError('a field has no value');
    const child = node.children.find(({ name }) => this.#isAt(name, nameStart, nameEnd));
    if (child === undefined) return;
    child.start = valueStart;
    child.end = valueEnd;
  }

  #isAt(name: Uint8Array, start: number, end: number): boolean {
    if (name.length !== end - start) return false;
    for (let at = 0; at < name.length; at++) {
      if (this.#bytes[start + at] !== name[at]) return false;
    }
    return true;
  }

  /** Of several kinds the last one counts. */
  #readValue(start: number, end: number, node: PathNode, levelsLeft: number): void {
    let kind = 0;
    let kindStart = start;
    let kindEnd = start;
    this.#at = start;
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (!isKind(tag)) {
        this.#skip(tag, end);
        continue;
      }
      kind = tag;
      if ((tag & 7) === WIRE.length) {
        kindEnd = this.#lengthEnd(end);
        kindStart = this.#at;
        this.#at = kindEnd;
      } else {
        kindStart = this.#at;
        this.#skip(tag, end);
      }
    }
    if (kind === 0) throw new MalformedBytesError('a value has no kind');
    this.#take(kind, kindStart, kindEnd, node, levelsLeft);
  }

  #take(kind: number, start: number, end: number, node: PathNode, levelsLeft: number): void {
    if (kind === VALUE.null) return;
    if (kind === VALUE.list) {
      this.#readList(start, end, node, levelsLeft);
      return;
    }
    const content = this.#contents[node.pathAt];
    if (content !== undefined) content.exists = true;
    if (kind === VALUE.struct) {
      if (node.children.length > 0) this.#readStruct(start, end, node, levelsLeft);
      return;
    }
    content?.values.push(this.#scalar(kind, start, end));
  }

  #readList(start: number, end: number, node: PathNode, levelsLeft: number): void {
    if (levelsLeft === 0) throw new MalformedBytesError('metadata are too deep');
    let at = start;
    while (at < end) {
      this.#at = at;
      const tag = this.#varint(end);
      if (tag !== ELEMENT) {
        this.#skip(tag, end);
        at = this.#at;
        continue;
      }
      at = this.#lengthEnd(end);
      this.#readValue(this.#at, at, node, levelsLeft - 1);
    }
  }

  #scalar(kind: number, start: number, end: number): FilterValue {
    if (kind === VALUE.number) return this.#bytes.readDoubleLE(start);
    if (kind === VALUE.string) return this.#bytes.toString('utf8', start, end);
    this.#at = start;
    return this.#isNonZeroVarint(this.#bytes.length);
  }

  #skip(tag: number, end: number): void {
    switch (tag & 7) {
      case WIRE.varint:
        this.#isNonZeroVarint(end);
        return;
      case WIRE.fixed64:
        this.#advance(8, end);
        return;
      case WIRE.length:
        this.#at = this.#lengthEnd(end);
        return;
      case WIRE.fixed32:
        this.#advance(4, end);
        return;
      default:
        throw new MalformedBytesError(`wire type ${tag & 7}`);
    }
  }

  /** Reads a length and tells where what follows ends. */
  #lengthEnd(end: number): number {
    const length = this.#varint(end);
    if (length > end - this.#at) throw new MalformedBytesError('a length points past the end');
    return this.#at + length;
  }

  #advance(sizeBytes: number, end: number): void {
    if (sizeBytes > end - this.#at) throw new MalformedBytesError('metadata end too early');
    this.#at += sizeBytes;
  }

  /** A tag or length. */
  #varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= 5; length++) {
      const byte = this.#byte(end);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new MalformedBytesError('a varint is longer than 32 bits');
  }

  #isNonZeroVarint(end: number): boolean {
    let bits = 0;
    for (let length = 1; length <= 10; length++) {
      const byte = this.#byte(end);
      bits |= byte & 0x7f;
      if (byte < 0x80) return bits !== 0;
    }
    throw new MalformedBytesError('a varint is longer than 64 bits');
  }

  #byte(end: number): number {
    if (this.#at >= end) throw new MalformedBytesError('metadata end too early');
    return this.#bytes[this.#at++] as number;
  }
}

function isKind(tag: number): boolean {
  switch (tag) {
    case VALUE.null:
    case VALUE.number:
    case VALUE.string:
    case VALUE.bool:
    case VALUE.struct:
    case VALUE.list:
      return true;
    default:
      return false;
  }
}

function pathTree(paths: readonly string[]): PathNode {
  interface Names {
    pathAt: number;
    readonly children: Map<string, Names>;
  }
  const root: Names = { pathAt: -1, children: new Map() };
  for (const [pathAt, path] of paths.entries()) {
    let names = root;
    for (const name of path.split('.')) {
      const next = names.children.get(name) ?? { pathAt: -1, children: new Map() };
      names.children.set(name, next);
      names = next;
    }
    names.pathAt = pathAt;
  }
  const nodeOf = (name: string, { pathAt, children }: Names): PathNode => ({
    name: utf8(name),
    pathAt,
    children: [...children].map(([childName, child]) => nodeOf(childName, child)),
    start: -1,
    end: -1,
  });
  return nodeOf('', root);
}
