// Goal: an engine tells whose graphs it loads or makes anew, until it has done so (H3, H6).
// Method: a disk that keeps a load waiting, and a look at each turn while rows go into a graph.
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { GraphWork } from '../../../../src/engine/engine.js';
import { remove, upsert } from '../shard-driver.js';
import { CheckpointRig, NEVER, names, RECORDS } from './checkpoint-rig.js';
import { GateDisk } from './gate-disk.js';

let disk: GateDisk;
let rig: CheckpointRig;
beforeEach(async () => {
  disk = new GateDisk();
  rig = new CheckpointRig(disk);
});

async function works(): Promise<(GraphWork | undefined)[]> {
  const { collections } = await rig.shard.engine.stats();
  return collections.map(({ graphWork }) => graphWork);
}

/** What is told of the first collection until all is done, without repeats. */
async function toldUntilSettled(): Promise<(GraphWork | undefined)[]> {
  const told: (GraphWork | undefined)[] = [];
  for (;;) {
    const { graphWork, headRows } = await rig.shard.stats();
    if (told.length === 0 || told.at(-1) !== graphWork) told.push(graphWork);
    if (graphWork === undefined && headRows === 0) return told;
    await setImmediate();
  }
}

describe('what graphs are brought to', () => {
  it('is nothing where records come in by entries', async () => {
    await rig.shard.open();
    await rig.shard.createCollection();
    await rig.shard.write(names(RECORDS).map((id, at) => upsert(id, [at, 0])));
    expect(await toldUntilSettled()).toEqual([undefined]);
  });

  it('is loading from the open on, for those too that wait for another one (H6)', async () => {
    await rig.fill();
    await rig.shard.createCollection({}, 2);
    await rig.shard.apply(
      rig.shard.writeCommand([upsert('one', [1, 1])], {}, { collectionId: 2, ownershipVersion: 7 }),
    );
    await rig.shard.settled();
    await rig.shard.engine.close();
    disk.shut('read', /\.graph$/);
    await rig.shard.open();
    await disk.reached();
    expect(await works()).toEqual(['loading', 'loading']);
    // Exact meanwhile, and found at once.
    await rig.shard.write([upsert('late', [-1, 0])]);
    expect(await rig.shard.searchIds([-1, 0], 2)).toEqual(['late', 'r0']);
    disk.open();
    expect((await toldUntilSettled()).slice(0, 2)).toEqual(['loading', undefined]);
    await rig.shard.settled();
    expect(await works()).toEqual([undefined, undefined]);
  });

  it('is rebuilding where there is no checkpoint, or it cannot be used', async () => {
    rig.options = { checkpoints: NEVER };
    await rig.fill();
    await rig.shard.reopen();
    expect(await toldUntilSettled()).toEqual(['rebuilding', undefined]);
    rig.options = {};
    await rig.restart();
    await rig.shard.engine.close();
    const [graph] = (await rig.files()).filter((name) => name.endsWith('.graph'));
    await disk.writeFile(`node/points/graphs-1/${graph}`, new Uint8Array(10));
    await rig.shard.open();
    expect(await toldUntilSettled()).toEqual(['loading', 'rebuilding', undefined]);
  });

  it('is rebuilding while a worn graph is made anew (H3)', async () => {
    rig.options = { renewalTombstonesMin: 12 };
    await rig.fill();
    // More than a fifth, and fewer than the least.
    await rig.shard.write(names(11).map((id) => remove(id)));
    expect(await toldUntilSettled()).toEqual([undefined]);
    expect(await rig.shard.stats()).toMatchObject({ graphPoints: RECORDS, tombstones: 11 });
    await rig.shard.write([remove('r11')]);
    expect(await toldUntilSettled()).toEqual(['rebuilding', undefined]);
    expect(await rig.shard.stats()).toMatchObject({ graphPoints: RECORDS - 12, tombstones: 0 });
  });
});
