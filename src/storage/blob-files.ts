/**
 * The node's small opaque records, one file each. They are files so that they outlive the
 * database: a node whose log is lost still knows which cluster it belongs to.
 */
import { assert } from '../shared/assert.js';
import { utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { seal, unseal } from '../shared/sealed-record.js';

const NAME = /^[a-z0-9-]{1,64}$/;

export function assertBlobName(name: string): void {
  assert(NAME.test(name), () => `a blob's name is 1 to 64 of a-z, 0-9 and -, not ${name}`);
}

export class BlobFiles {
  readonly #disk: Disk;
  readonly #directory: string;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = `${directory}/blobs`;
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#disk.list(this.#directory)).length === 0;
  }

  /** Durable when the promise resolves. One call per name at a time. */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#disk.makeDirectory(this.#directory);
    await this.#disk.writeFile(`${this.#directory}/${name}`, seal(bytes, utf8(name)));
  }

  /** Undefined where there is no such blob. Throws a `RecordError`. */
  async read(name: string): Promise<Uint8Array | undefined> {
    assertBlobName(name);
    const record = await this.#disk.readFile(`${this.#directory}/${name}`);
    return record && unseal(record, utf8(name));
  }
}
