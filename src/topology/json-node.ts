/** Reading JSON that comes from disks and other nodes. */
import { MalformedBytesError } from '../shared/bytes.js';

/** A parsed JSON value that is read by type, and knows its path for the error. */
export class JsonNode {
  readonly #value: unknown;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.#value = value;
    this.#path = path;
  }

  field(name: string): JsonNode {
    const found = this.optional(name);
    if (found === undefined) throw new MalformedBytesError(`${this.#path}.${name} is missing`);
    return found;
  }

  /** A field that documents of an earlier version do not have, or that is not always there. */
  optional(name: string): JsonNode | undefined {
    const value = this.#value;
    if (typeof value !== 'object' || value === null) this.#fail('an object');
    if (!Object.hasOwn(value, name)) return undefined;
    return new JsonNode((value as Record<string, unknown>)[name], `${this.#path}.${name}`);
  }

  list<T>(read: (element: JsonNode) => T): T[] {
    if (!Array.isArray(this.#value)) this.#fail('a list');
    return this.#value.map((element, at) => read(new JsonNode(element, `${this.#path}[${at}]`)));
  }

  whole(min: number): number {
    const value = this.#value;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min) {
      this.#fail(`a whole number of at least ${min}`);
    }
    return value;
  }

  text(): string {
    if (typeof this.#value !== 'string') this.#fail('a string');
    return this.#value;
  }

  flag(): boolean {
    if (typeof this.#value !== 'boolean') this.#fail('true or false');
    return this.#value;
  }

  oneOf<T extends string>(values: readonly T[]): T {
    const value = values.find((one) => one === this.#value);
    if (value === undefined) this.#fail(`one of ${values.join(', ')}`);
    return value;
  }

  #fail(expected: string): never {
    throw new MalformedBytesError(`${this.#path} is not ${expected}`);
  }
}
