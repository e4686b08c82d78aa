// Goal: a node that has stopped does nothing to its directory any more: the next may open it.
// Method: a whole node in virtual time, stopped while the removal of a snapshot's file hangs.
import { expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import type { NodeConfig } from '../../../src/node/config.js';
import { Node } from '../../../src/node/node.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import type { Disk, Environment } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { RETRY_BUDGET } from '../../../src/shared/retry-budget.js';
import { nameOf } from '../../../src/storage/snapshot-name.js';
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const ELECTION_TIMEOUT_MS = 1_000;
const ADDRESSES = { client: 'host:7700', peer: 'host:7701', http: 'host:7702' };

const CONFIG: NodeConfig = {
  nodeId: 1,
  directory: 'node',
  listen: ADDRESSES,
  advertise: ADDRESSES,
  nodes: [{ nodeId: 1, peerAddress: ADDRESSES.peer }],
  bootstrap: true,
  settings: {
    shards: 1,
    replicationFactor: 1,
    virtualNodes: 100,
    electionTimeoutMs: ELECTION_TIMEOUT_MS,
    leases: false,
  },
  engine: { headFloatsMax: 1_024, exactCopy: true },
  router: { hedgedReads: true, retryBudget: RETRY_BUDGET, searchCacheBytes: 0 },
  timing: deriveTiming(ELECTION_TIMEOUT_MS),
  logLevel: 'info',
  logPretty: false,
  logCacheSizeBytes: 1_024,
  shutdownTimeoutMs: 1_000,
};

/** The same disk, except that removing a staged snapshot waits for `gate`. */
function gated(disk: MemoryDisk, gate: Promise<void>, onRemove: () => void): Disk {
  return {
    openKv: (path) => disk.openKv(path),
    readFile: (path) => disk.readFile(path),
    writeFile: (path, bytes) => disk.writeFile(path, bytes),
    openFile: (path, mode) => disk.openFile(path, mode),
    allocateFile: (path, sizeBytes) => disk.allocateFile(path, sizeBytes),
    rename: (from, to) => disk.rename(from, to),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    space: () => disk.space(),
    remove: async (path) => {
      if (path.endsWith('.part')) {
        onRemove();
        await gate;
      }
      await disk.remove(path);
    },
  };
}

it('ends only when what it does to its snapshot files is done', async () => {
  const disk = new MemoryDisk();
  let letGo: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let isRemoving = false;
  const world = new VirtualEnvironment();
  const { clock, scheduler, random } = world;
  const environment: Environment = {
    clock,
    scheduler,
    random,
    disk: gated(disk, gate, () => {
      isRemoving = true;
    }),
    network: new MemoryNetwork({ scheduler }).host('host'),
  };
  // What had begun to arrive before the last restart, and is of no use any more.
  const id = { groupId: TOPOLOGY_GROUP_ID, index: 1, term: 1, sourceId: '2' };
  for (const kind of ['part', 'mark'] as const) {
    const name = nameOf({ ...id, sizeBytes: 10, crc32c: 0 }, kind);
    await disk.makeDirectory('node/snapshots');
    await disk.writeFile(`node/snapshots/${name}`, new Uint8Array());
  }
  const node = await world.settle(
    Node.start({
      config: CONFIG,
      logger: silentLogger,
      environment,
      createEngine: (genesis, path) =>
        new ShardEngine({
          environment,
          genesis,
          path,
          createIndex: (options) => new FlatIndex(options),
        }),
      openEndpoints: async () => ({
        clientAddress: ADDRESSES.client,
        httpAddress: ADDRESSES.http,
        setServing: () => undefined,
      }),
    }),
  );
  await world.settle(node.ready);
  await world.advance(2 * ELECTION_TIMEOUT_MS);
  expect(isRemoving).toBe(true);

  let hasStopped = false;
  const stopped = node.stop().then(() => {
    hasStopped = true;
  });
  await world.advance(10 * ELECTION_TIMEOUT_MS);
  expect(hasStopped).toBe(false);
  letGo();
  await world.settle(stopped);
  expect(await disk.list('node/snapshots')).toEqual([]);
});
