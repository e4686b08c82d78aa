/**
 * The values at some paths of a record's metadata, read from the encoded Struct: what nobody asks
 * for is stepped over. Finds what shared/filter.ts calls the values at a path.
 */
import { MalformedBytesError, utf8 } from '../../shared/bytes.js';
import { WIRE, WireCursor } from '../../shared/codec/wire-cursor.js';
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

const NOTHING = new WireCursor(new Uint8Array(0));

/** Reads the same paths of many records. One call costs a walk over the metadata's top level. */
export class FieldReader {
  readonly #root: PathNode;
  readonly #contents: readonly Content[];
  #cursor = NOTHING;

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
    this.#cursor = new WireCursor(metadata);
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
    const cursor = this.#cursor;
    cursor.at = start;
    while (cursor.at < end) {
      const tag = cursor.varint(end);
      if (tag === FIELDS) this.#readEntry(cursor.lengthEnd(end), node);
      else cursor.skip(tag, end);
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
    const cursor = this.#cursor;
    while (cursor.at < end) {
      const tag = cursor.varint(end);
      if (tag !== ENTRY.name && tag !== ENTRY.value) {
        cursor.skip(tag, end);
        continue;
      }
      const partEnd = cursor.lengthEnd(end);
      if (tag === ENTRY.name) [nameStart, nameEnd] = [cursor.at, partEnd];
      else [valueStart, valueEnd] = [cursor.at, partEnd];
      cursor.at = partEnd;
    }
    if (valueStart < 0) throw new MalformedBytesError('a field has no value');
    const child = node.children.find(({ name }) => this.#isAt(name, nameStart, nameEnd));
    if (child === undefined) return;
    child.start = valueStart;
    child.end = valueEnd;
  }

  #isAt(name: Uint8Array, start: number, end: number): boolean {
    if (name.length !== end - start) return false;
    const { bytes } = this.#cursor;
    for (let at = 0; at < name.length; at++) {
      if (bytes[start + at] !== name[at]) return false;
    }
    return true;
  }

  /** Of several kinds the last one counts. */
  #readValue(start: number, end: number, node: PathNode, levelsLeft: number): void {
    let kind = 0;
    let kindStart = start;
    let kindEnd = start;
    const cursor = this.#cursor;
    cursor.at = start;
    while (cursor.at < end) {
      const tag = cursor.varint(end);
      if (!isKind(tag)) {
        cursor.skip(tag, end);
        continue;
      }
      kind = tag;
      if ((tag & 7) === WIRE.length) {
        kindEnd = cursor.lengthEnd(end);
        kindStart = cursor.at;
        cursor.at = kindEnd;
      } else {
        kindStart = cursor.at;
        cursor.skip(tag, end);
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
    const cursor = this.#cursor;
    cursor.at = start;
    while (cursor.at < end) {
      const tag = cursor.varint(end);
      if (tag !== ELEMENT) {
        cursor.skip(tag, end);
        continue;
      }
      const elementEnd = cursor.lengthEnd(end);
      this.#readValue(cursor.at, elementEnd, node, levelsLeft - 1);
      // Reading it may have gone elsewhere in it.
      cursor.at = elementEnd;
    }
  }

  #scalar(kind: number, start: number, end: number): FilterValue {
    const cursor = this.#cursor;
    const { bytes } = cursor;
    if (kind === VALUE.string) return bytes.toString('utf8', start, end);
    cursor.at = start;
    return kind === VALUE.number
      ? cursor.double(bytes.length)
      : cursor.isNonZeroVarint(bytes.length);
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
