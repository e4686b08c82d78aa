// Goal: damage is done to checkpoints of graphs, and to nothing else.
// Method: files by hand on a simulated disk, all kinds of damage, many seeds.
import { describe, expect, it } from 'vitest';
import { SimDisk } from '../kit/sim-disk.js';
import { World } from '../kit/world.js';
import { GRAPH_DAMAGE_KINDS, GraphDamage } from './graph-damage.js';

const DIRECTORY = 'data/shards/0.3/graphs-2';
const GRAPH = `${DIRECTORY}/1-4.graph`;
const LABELS = `${DIRECTORY}/1-4.labels`;
const OTHERS = [`${DIRECTORY}/1-5.graph`, 'data/shards/0.3/CURRENT', 'data/raft/identity'];

async function diskWith(files: readonly string[], seed: number): Promise<SimDisk> {
  const disk = new SimDisk(new World(seed), 'a');
  for (const path of files) await disk.content.writeFile(path, bytesOf(path));
  return disk;
}

function bytesOf(path: string): Uint8Array {
  return new TextEncoder().encode(`what ${path} holds`);
}

async function changedOn(disk: SimDisk, files: readonly string[]): Promise<string[]> {
  const contents = await Promise.all(files.map((path) => disk.content.readFile(path)));
  return files.filter((path, at) => {
    const content = contents[at];
    return content === undefined || Buffer.compare(content, bytesOf(path)) !== 0;
  });
}

describe('damage of graphs', () => {
  it.each(GRAPH_DAMAGE_KINDS.filter((kind) => kind !== 'foreign'))(
    '%s: one file of a checkpoint, either of them',
    async (kind) => {
      const hit = new Set<string>();
      for (let seed = 1; seed <= 20; seed++) {
        const files = [GRAPH, LABELS, ...OTHERS];
        const disk = await diskWith(files, seed);
        const damage = new GraphDamage();
        await damage.damage(disk, kind, new World(seed).fork('damage'));
        const changed = await changedOn(disk, files);
        expect(changed).toHaveLength(1);
        for (const path of changed) hit.add(path);
        expect(damage.done[kind]).toBe(1);
      }
      expect([...hit].sort()).toEqual([GRAPH, LABELS]);
    },
  );

  it('foreign: both files are those of a checkpoint that there was once', async () => {
    const damage = new GraphDamage();
    const old = await diskWith([GRAPH.replace('1-4', '1-1'), LABELS.replace('1-4', '1-1')], 1);
    await damage.damage(old, 'foreign', new World(1).fork('damage'));
    const found = new Set<string>();
    for (let seed = 1; seed <= 20; seed++) {
      const disk = await diskWith([GRAPH, LABELS], seed);
      await damage.damage(disk, 'foreign', new World(seed).fork('damage'));
      const [graph, labels] = [GRAPH, LABELS].map((path) => disk.content.readFile(path));
      const text = `${Buffer.from((await graph) ?? [])} ${Buffer.from((await labels) ?? [])}`;
      found.add(text.replaceAll(DIRECTORY, ''));
    }
    expect([...found].sort()).toEqual([
      'what /1-1.graph holds what /1-1.labels holds',
      'what /1-4.graph holds what /1-4.labels holds',
    ]);
  });

  it('is none where no checkpoint is whole', async () => {
    const disk = await diskWith([...OTHERS, LABELS], 1);
    const damage = new GraphDamage();
    await damage.damage(disk, 'flip', new World(1).fork('damage'));
    expect(await changedOn(disk, [...OTHERS, LABELS])).toEqual([]);
    expect(damage.done.flip).toBe(0);
  });
});
