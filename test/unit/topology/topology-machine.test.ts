// Goal: the topology's snapshot is its whole document, and installing one is like applying its log.
// Method: two machines over one disk, one with the log, one with the snapshot.
import { describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { encodeTopologyCommand } from '../../../src/topology/codec.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { TopologyMachine } from '../../../src/topology/topology-machine.js';
import { config, genesis } from './topology-fixtures.js';

function machineOn(disk: MemoryDisk, document = genesis()) {
  const published: TopologyDocument[] = [];
  const publish = (one: TopologyDocument): number => published.push(one);
  return { machine: new TopologyMachine({ genesis: document, publish, disk }), published };
}

const create = { kind: 'beginCreateCollection', config: config('things') } as const;
const entry = { index: 4, term: 1, data: encodeTopologyCommand(create) };

describe('TopologyMachine', () => {
  it('goes on from a snapshot as from the log, before and after it is opened', async () => {
    const disk = new MemoryDisk();
    const one = machineOn(disk);
    await one.machine.open();
    await one.machine.apply([entry], 6);
    const written = await one.machine.writeSnapshot('snap');
    expect(written.appliedIndex).toBe(6);
    const document = defined(one.published.at(-1), 'document');

    const fresh = machineOn(disk);
    expect(await fresh.machine.installSnapshot('snap')).toEqual({ appliedIndex: 6 });
    expect(fresh.published).toEqual([]);
    expect(await fresh.machine.open()).toEqual({ appliedIndex: 6 });
    expect(fresh.published).toEqual([document]);

    const open = machineOn(disk);
    await open.machine.open();
    await open.machine.installSnapshot('snap');
    expect(open.published).toEqual([genesis(), document]);
    // Equal states write equal bytes.
    expect(await open.machine.writeSnapshot('again')).toEqual(written);
  });

  it('keeps its document where the file is damaged or of another cluster', async () => {
    const disk = new MemoryDisk();
    const { machine, published } = machineOn(disk);
    await machine.open();
    await machine.apply([entry], 6);
    await machine.writeSnapshot('snap');
    const bytes = defined(await disk.readFile('snap'), 'file');
    await disk.writeFile('half', bytes.slice(0, bytes.length - 30));
    await expect(machine.installSnapshot('half')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    const stranger = machineOn(disk, { ...genesis(), clusterId: 'another' });
    await expect(stranger.machine.installSnapshot('snap')).rejects.toMatchObject({
      reason: 'SETTINGS_MISMATCH',
    });
    expect(published).toHaveLength(2);
    expect(await machine.writeSnapshot('same')).toMatchObject({ appliedIndex: 6 });
    expect(await disk.readFile('same')).toEqual(bytes);
  });
});
