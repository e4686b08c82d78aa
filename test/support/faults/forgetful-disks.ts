/**
 * Disks that forget: when a machine loses power, what was written and not synced is gone. A killed
 * process leaves it behind in the page cache, so a library is preloaded into the node that notes
 * how long each file was at its last sync (synced-sizes.c), and after a kill the rest is cut off.
 * Files that were renamed or removed stay so. Linux, with a C compiler.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';

const SOURCE = resolve('test/support/faults/synced-sizes.c');

/** Of a file that is there: cut where it was synced last, or somewhere behind that. */
export interface Forgotten {
  readonly files: number;
  readonly sizeBytes: number;
}

export class ForgetfulDisks {
  readonly #directory: string;
  /** By node and file: bytes that no death of the machine can take away. */
  readonly #durable = new Map<number, Map<string, number>>();

  /** Whether the library can be built here. */
  static isAvailable(): boolean {
    if (process.platform !== 'linux') return false;
    try {
      execFileSync('cc', ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  }

  /** Builds the library into a directory, which is also where the nodes' notes go. */
  static open(directory: string): ForgetfulDisks {
    const words = ['-shared', '-fPIC', '-O1', '-Wall', '-o', libraryIn(directory), SOURCE, '-ldl'];
    execFileSync('cc', words, { stdio: 'pipe' });
    return new ForgetfulDisks(directory);
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** For a process that is about to start: what lies in the node's directory now is durable. */
  environmentOf(nodeId: number, nodeDirectory: string): Record<string, string> {
    rmSync(this.#notesOf(nodeId), { force: true });
    writeFileSync(this.#notesOf(nodeId), '');
    const sizes = filesIn(nodeDirectory).map((path) => [keyOf(path), statSync(path).size] as const);
    this.#durable.set(nodeId, new Map(sizes));
    return { LD_PRELOAD: libraryIn(this.#directory), FLOTILLA_SYNCED_SIZES: this.#notesOf(nodeId) };
  }

  /**
   * To be called when the process is dead. Every file loses what was not synced, or a part of it:
   * `random`, in [0, 1), is asked for each. Throws when the node has synced no file that is there,
   * as then the library cannot have worked.
   */
  forget(nodeId: number, nodeDirectory: string, random: () => number): Forgotten {
    const durable = this.#durable.get(nodeId) ?? new Map<string, number>();
    const synced = this.#syncedSizes(nodeId);
    let known = 0;
    let files = 0;
    let sizeBytes = 0;
    for (const path of filesIn(nodeDirectory)) {
      const { size } = statSync(path);
      const sizeSynced = synced.get(keyOf(path));
      if (sizeSynced !== undefined) known += 1;
      const from = Math.min(sizeSynced ?? durable.get(keyOf(path)) ?? 0, size);
      const left = random() < 0.5 ? from : from + Math.floor(random() * (size - from));
      if (left === size) continue;
      truncateSync(path, left);
      files += 1;
      sizeBytes += size - left;
    }
    if (known === 0) throw new Error(`no file of node ${nodeId} was noted as synced`);
    return { files, sizeBytes };
  }

  /** The newest note of a file counts: it may have been cut and written anew. */
  #syncedSizes(nodeId: number): Map<string, number> {
    const lines = readFileSync(this.#notesOf(nodeId), 'utf8').split('\n').slice(0, -1);
    return new Map(
      lines.map((line) => {
        const [device, inode, seconds, nanoseconds, size] = line.split(' ').map(BigInt);
        const bornNs = (seconds ?? 0n) * 1_000_000_000n + (nanoseconds ?? 0n);
        return [`${device} ${inode} ${bornNs}`, Number(size)];
      }),
    );
  }

  #notesOf(nodeId: number): string {
    return join(this.#directory, `synced-sizes-${nodeId}`);
  }
}

function libraryIn(directory: string): string {
  return join(directory, 'synced-sizes.so');
}

/** A file whatever its name; the time of birth tells apart those that get an inode in turn. */
function keyOf(path: string): string {
  const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
  return `${dev} ${ino} ${birthtimeNs}`;
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
