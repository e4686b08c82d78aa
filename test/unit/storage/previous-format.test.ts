// Goal: a directory that the first released format wrote opens with all that is in it.
// Method: its records are written here byte by byte, by an encoder that the store does not have.
import { describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import { ByteWriter, utf8 } from '../../../src/shared/bytes.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { KvOperation } from '../../../src/shared/kv.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { seal } from '../../../src/shared/sealed-record.js';
import { encodeEntries } from '../../../src/storage/entry-codec.js';
import { genesisKey, metaKey } from '../../../src/storage/keys.js';
import type { GroupGenesis, LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import {
  configurationOf,
  entriesOf,
  environmentOn,
  genesisOf,
  hardStateOf,
  temporaryDirectory,
  writeOf,
} from './harness.js';

/** What the directory holds: each group with entries 1 to 6 of terms 1 and 2. */
const GROUPS = [0, 3];
const ENTRIES = [...entriesOf(1, 3, 1), ...entriesOf(4, 6, 2)];
const HARD_STATE = hardStateOf(2, 3, 4);
const LAST = { index: 6, term: 2 };
const BATCHES = 5;

function version1Genesis({ groupId, replicaId, confState, members }: GroupGenesis): Uint8Array {
  const writer = new ByteWriter().varint(groupId).varint(replicaId);
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    writer.varint(ids.length);
    for (const id of ids) writer.varint(id);
  }
  writer.bool(confState.autoLeave).varint(members.length);
  for (const member of members) {
    writer.varint(member.replicaId).varint(member.nodeId).string(member.storeId);
  }
  return seal(writer.finish(), genesisKey(groupId));
}

function version1Meta(groupId: number): Uint8Array {
  const writer = new ByteWriter().varint(HARD_STATE.term).varint(HARD_STATE.vote);
  // Commit; first index, the term before it; last index and term; batches.
  writer.varint(HARD_STATE.commit).varint(1).varint(0);
  writer.varint(LAST.index).varint(LAST.term).varint(BATCHES);
  return seal(writer.finish(), metaKey(groupId));
}

function version1Identity(quarantined: readonly number[]): Uint8Array {
  const writer = new ByteWriter().string('an-old-store').varint(4).varint(GROUPS.length);
  for (const groupId of GROUPS) writer.varint(groupId);
  writer.varint(quarantined.length);
  for (const groupId of quarantined) writer.varint(groupId).string('dropping 7 bytes');
  return seal(writer.finish(), utf8('IDENTITY'));
}

function version1LowWater(): Uint8Array {
  const writer = new ByteWriter().varint(GROUPS.length);
  for (const groupId of GROUPS) {
    writer.varint(groupId).varint(HARD_STATE.term).varint(HARD_STATE.vote);
    writer.varint(LAST.index).varint(BATCHES);
  }
  return seal(writer.finish(), utf8('LOW-WATER'));
}

async function writeVersion1(
  disk: Disk,
  directory: string,
  quarantined: readonly number[] = [],
): Promise<void> {
  await disk.makeDirectory(directory);
  await disk.writeFile(`${directory}/IDENTITY`, version1Identity(quarantined));
  await disk.writeFile(`${directory}/LOW-WATER`, version1LowWater());
  const kv = await disk.openKv(`${directory}/log`);
  const operations: KvOperation[] = [];
  for (const groupId of GROUPS) {
    const genesis = version1Genesis(genesisOf(groupId, 2));
    operations.push({ type: 'put', key: genesisKey(groupId), value: genesis });
    operations.push({ type: 'put', key: metaKey(groupId), value: version1Meta(groupId) });
    encodeEntries(groupId, ENTRIES, operations);
  }
  await kv.batch(operations, { sync: true });
  await kv.close();
}

function open(disk: Disk, directory: string): Promise<LogStore> {
  return openLogStore({ environment: environmentOn(disk), directory, logger: silentLogger });
}

function expectContent(store: LogStore, groupId: number): void {
  const reader = store.reader(groupId);
  expect([reader.firstIndex(), reader.lastIndex()]).toEqual([1, LAST.index]);
  expect(reader.entries(1, LAST.index + 1, 1e9)).toEqual(ENTRIES);
  const { confState, members } = genesisOf(groupId);
  expect(reader.initialState()).toEqual({ hardState: HARD_STATE, confState });
  expect(store.configuration(groupId)).toEqual({ index: 0, confState, members });
}

describe('a directory of format 1', () => {
  it.each(['on a memory disk', 'on the real disk'])('opens %s, and opens again', async (kind) => {
    const directory = temporaryDirectory();
    const disk = kind.includes('real') ? new RealDisk() : new MemoryDisk();
    await writeVersion1(disk, directory.path);
    for (let opens = 1; opens <= 2; opens++) {
      const store = await open(disk, directory.path);
      expect(store.identity).toEqual({ storeId: 'an-old-store', incarnation: 4 + opens });
      expect(store.damaged()).toEqual([]);
      expect(store.groups()).toEqual(GROUPS.map((groupId) => genesisOf(groupId, 2)));
      for (const groupId of GROUPS) expectContent(store, groupId);
      await store.close();
    }
    directory.remove();
  });

  it('goes on in the present format', async () => {
    const disk = new MemoryDisk();
    await writeVersion1(disk, 'd');
    const store = await open(disk, 'd');
    await store.write({ ...writeOf(3, []), configuration: configurationOf(4), compactedIndex: 2 });
    // The replica id that no file said is known since the open.
    await expect(store.replaceGroup(genesisOf(0, 1))).rejects.toMatchObject({
      reason: 'SETTINGS_MISMATCH',
    });
    await store.replaceGroup(genesisOf(0, 5));
    await store.close();
    const again = await open(disk, 'd');
    expect(again.damaged()).toEqual([]);
    expect(again.configuration(3)).toEqual(configurationOf(4));
    expect(again.reader(3).firstIndex()).toBe(3);
    expect(again.groups()).toEqual([genesisOf(0, 5), genesisOf(3, 2)]);
    await again.close();
  });

  it('keeps its quarantine', async () => {
    const disk = new MemoryDisk();
    await writeVersion1(disk, 'd', [3]);
    for (let opens = 0; opens < 2; opens++) {
      const store = await open(disk, 'd');
      expect(store.damaged()).toEqual([
        { groupId: 3, replicaId: 0, reason: 'database-log', message: 'dropping 7 bytes' },
      ]);
      expectContent(store, 0);
      await store.close();
    }
  });
});
