/**
 * Goal: checkpoints of graphs that are not what was saved. Method: the files of one checkpoint are
 * changed while no process runs, in all the ways that a disk, or a hand, can change them.
 */
import { defined, unreachable } from '../../../src/shared/assert.js';
import type { SimDisk } from '../kit/sim-disk.js';
import type { SimRandom } from '../kit/sim-random.js';

/**
 * `flip`: a bit of one file. `cut`: its end is missing. `gone`: one file is. `foreign`: both are
 * those of another checkpoint, of any replica and time, and sound.
 */
export type GraphDamageKind = 'flip' | 'cut' | 'gone' | 'foreign';

export const GRAPH_DAMAGE_KINDS: readonly GraphDamageKind[] = ['flip', 'cut', 'gone', 'foreign'];

/** Part of the paths of all files of checkpoints, and of no others. */
export const GRAPH_PATHS = '/graphs-';

const SHARDS_PATH = 'data/shards';
const GRAPHS = /^graphs-/;
const LABELS = /\.labels$/;

/** The bytes of a checkpoint. */
interface Saved {
  readonly graph: Uint8Array;
  readonly labels: Uint8Array;
}

export class GraphDamage {
  /** What was once a checkpoint. */
  readonly #library: Saved[] = [];
  /** How often a damage of which kind was really done. */
  readonly done: Record<GraphDamageKind, number> = { flip: 0, cut: 0, gone: 0, foreign: 0 };

  /** Only while no process runs on the disk; does nothing where there is no checkpoint. */
  async damage(disk: SimDisk, how: GraphDamageKind, random: SimRandom): Promise<void> {
    const checkpoints = await checkpointsOn(disk);
    if (checkpoints.length === 0) return;
    const { content } = disk;
    for (const checkpoint of checkpoints) {
      const graph = defined(await content.readFile(checkpoint.graph), checkpoint.graph);
      const labels = defined(await content.readFile(checkpoint.labels), checkpoint.labels);
      this.#library.push({ graph, labels });
    }
    const victim = random.pick(checkpoints);
    const path = random.pick([victim.graph, victim.labels]);
    const bytes = defined(await content.readFile(path), path);
    this.done[how]++;
    switch (how) {
      case 'flip': {
        const at = random.integer(0, bytes.length - 1);
        bytes[at] = (bytes[at] as number) ^ (1 << random.integer(0, 7));
        return content.writeFile(path, bytes);
      }
      case 'cut':
        return content.writeFile(path, bytes.subarray(0, random.integer(0, bytes.length - 1)));
      case 'gone':
        return content.remove(path);
      case 'foreign': {
        const other = random.pick(this.#library);
        await content.writeFile(victim.graph, other.graph);
        return content.writeFile(victim.labels, other.labels);
      }
      default:
        return unreachable(how);
    }
  }
}

/** Paths of the files of all checkpoints that count. */
async function checkpointsOn({
  content,
}: SimDisk): Promise<{ readonly graph: string; readonly labels: string }[]> {
  const found: { graph: string; labels: string }[] = [];
  for (const shard of await content.list(SHARDS_PATH)) {
    const replica = `${SHARDS_PATH}/${shard}`;
    for (const directory of (await content.list(replica)).filter((name) => GRAPHS.test(name))) {
      const names = await content.list(`${replica}/${directory}`);
      for (const name of names.filter((one) => LABELS.test(one))) {
        const labels = `${replica}/${directory}/${name}`;
        const graph = labels.replace(LABELS, '.graph');
        if ((await content.readFile(graph))?.length) found.push({ graph, labels });
      }
    }
  }
  return found;
}
