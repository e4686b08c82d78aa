/** A memory disk on which chosen files can be made to wait, or to fail. */
import { setImmediate } from 'node:timers/promises';
import type { DiskFile } from '../../../../src/shared/environment.js';
import { MemoryDisk } from '../../../../src/shared/memory-disk.js';

type Access = 'read' | 'write' | 'sync';

interface Gate {
  readonly access: Access;
  readonly pattern: RegExp;
  readonly opened: Promise<void>;
  readonly open: () => void;
  /** Calls that wait, or waited. */
  waiting: number;
}

export class GateDisk extends MemoryDisk {
  #gate: Gate | undefined;
  /** Files whose reads, writes or syncs fail. */
  broken: { readonly access: Access; readonly pattern: RegExp } | undefined;

  /** From now on such calls wait until `open`. */
  shut(access: Access, pattern: RegExp): void {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gate = { access, pattern, opened, open, waiting: 0 };
  }

  /** Resolves when a call waits. */
  async reached(): Promise<void> {
    while (this.#gate?.waiting === 0) await setImmediate();
  }

  open(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  override async openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    const file = await super.openFile(path, mode);
    return {
      get sizeBytes(): number {
        return file.sizeBytes;
      },
      read: async (offset, lengthBytes) => {
        await this.#pass('read', path);
        return file.read(offset, lengthBytes);
      },
      readInto: async (offset, target) => {
        await this.#pass('read', path);
        return file.readInto(offset, target);
      },
      write: async (offset, bytes) => {
        await this.#pass('write', path);
        return file.write(offset, bytes);
      },
      sync: async () => {
        await this.#pass('sync', path);
        return file.sync();
      },
      close: () => file.close(),
    };
  }

  async #pass(access: Access, path: string): Promise<void> {
    const gate = this.#gate;
    if (gate?.access === access && gate.pattern.test(path)) {
      gate.waiting++;
      await gate.opened;
    }
    if (this.broken?.access === access && this.broken.pattern.test(path)) {
      throw new Error(`EIO: ${path}`);
    }
  }
}
