// Goal: a snapshot that comes while something else is going on leaves no trace of either.
// Method: hosts in virtual time over disks in memory; a receiver alone; machines that are held up.
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import { openStateMachine } from '../../../src/replica/replica-core.js';
import { SnapshotReceiver } from '../../../src/replica/snapshot-receiver.js';
import { encodeSnapshotCall } from '../../../src/replica/snapshot-wire.js';
import { defined } from '../../../src/shared/assert.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import { SnapshotFiles } from '../../../src/storage/snapshot-files.js';
import { drainPromises, VirtualEnvironment } from '../../support/virtual-environment.js';
import { ToyCluster } from './toy-cluster.js';
import { ToyMachine } from './toy-machine.js';

const COMPACTION = { ...COMPACTION_DEFAULTS, thresholdEntries: 20, trailingEntries: 5 };
const DEADLINE = { timeoutMs: 30_000 };
const NO_VOTERS = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

async function addReplica(
  cluster: ToyCluster,
  kind: 'add-learner' | 'add-voter',
  replicaId: number,
): Promise<void> {
  const changes = [{ kind, replicaId }];
  const members = [cluster.member(replicaId)];
  const leader = await cluster.electedLeader();
  const made = leader.group().changeConfiguration({ changes, members }, DEADLINE);
  await cluster.environment.settle(made);
}

describe('a snapshot', () => {
  it('overtakes a change that is being applied, and decides who belongs (P4, M4)', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3, compaction: COMPACTION });
    await cluster.write('first');
    const leader = await cluster.electedLeader();
    const held = defined(
      cluster.nodes.find((node) => node !== leader && node.nodeId < 4),
      'follower',
    );
    await cluster.until('first is applied', () => held.items().length === 1);
    let open = (): void => undefined;
    held.machine().gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    await addReplica(cluster, 'add-learner', 4);
    const { index } = leader.group().configuration;
    await cluster.until('it knows of the change', () => held.group().commitIndex >= index);
    await cluster.environment.advance(100);
    cluster.isolate(held.nodeId);
    await addReplica(cluster, 'add-voter', 4);
    for (let at = 0; at < 60; at++) await cluster.write(`missed ${at}`);
    cluster.heal();
    await cluster.until('the snapshot is there', () => held.group().commitIndex > index + 20);
    open();
    await cluster.write('after');
    await cluster.converged();
    const confState = leader.group().status().confState;
    expect(confState.voters).toEqual([1, 2, 3, 4]);
    expect(held.faults).toEqual([]);
    expect(held.group().status().confState).toEqual(confState);
    expect(held.group().configuration.confState).toEqual(confState);
    await cluster.close();
  });

  it('of another history than the log is not what a state starts from (L5, S-41)', async () => {
    const { scheduler, random } = new VirtualEnvironment({ seed: 1 });
    const disk = new MemoryDisk();
    const environment = { disk, scheduler, random };
    const logStore = await openLogStore({ environment, directory: 'd', logger: silentLogger });
    const genesis = { groupId: 1, replicaId: 1, confState: NO_VOTERS, members: [] };
    await logStore.createGroup(genesis);
    const entries = [1, 2, 3, 4, 5].map((index) => {
      return { index, term: 1, type: 'EntryNormal' as const, data: Uint8Array.of(index) };
    });
    const hardState = { term: 1, vote: 1, commit: 2 };
    await logStore.write({ groupId: 1, hardState, entries, compactedIndex: 2, mustSync: true });
    const files = await SnapshotFiles.open(disk, 'snapshots');
    // The one of index 2 is its own; that of 4 had arrived, and is of a leader who wrote another 4.
    for (const [index, term] of [
      [2, 1],
      [4, 2],
    ] as const) {
      const content = { batches: [{ lastIndex: index, items: [{ index, text: `${term}` }] }] };
      const file = files.newFile(1, { index, term, replicaId: term });
      await file.publish(await new ToyMachine(content, () => 9, disk).writeSnapshot(file.path));
    }
    const machine = new ToyMachine({ batches: [] }, () => 5, disk);
    expect(await openStateMachine({ genesis, logStore }, machine, files)).toBe(2);
    expect(machine.items).toEqual([{ index: 2, text: '1' }]);
    await logStore.close();
  });

  it('that is installed counts although older files cannot be removed (S3)', async () => {
    const cluster = await ToyCluster.start({ compaction: COMPACTION });
    await cluster.write('first');
    await cluster.converged();
    const leader = await cluster.electedLeader();
    const behind = defined(
      cluster.nodes.find((node) => node !== leader),
      'follower',
    );
    const { files } = behind.running;
    const old = files.newFile(1, { index: 1, term: 1, replicaId: behind.nodeId });
    await old.publish(await behind.machine().writeSnapshot(old.path));
    files.remove = () => Promise.reject(new Error('the disk does not let go of it'));
    cluster.isolate(behind.nodeId);
    for (let at = 0; at < 60; at++) await cluster.write(`missed ${at}`);
    cluster.heal();
    await cluster.converged();
    expect(behind.faults).toEqual([]);
    expect(behind.items()).toEqual(leader.items());
    await cluster.close();
  });
});

describe('what has begun to arrive', () => {
  const meta = { index: 9, term: 2, confState: NO_VOTERS };
  const message = createMessage('MsgSnap', 1, 2, 2, { snapshot: { meta, data: Uint8Array.of() } });
  const from = { clusterId: 'c', nodeId: 1, storeId: 's', incarnation: 1 };
  const id = { groupId: 1, index: 9, term: 2, sourceId: '1', sizeBytes: 4, crc32c: 7 };
  const bytes = Uint8Array.of(1, 2);
  const begin = encodeSnapshotCall({ method: 'begin', id, message });
  const chunk = { method: 'chunk', id, offset: 0, crc32c: crc32c(bytes), bytes } as const;

  async function receiverOn(disk: MemoryDisk, commitIndex: () => number) {
    const files = await SnapshotFiles.open(disk, 'snapshots');
    const recipient = {
      term: 2,
      get commitIndex() {
        return commitIndex();
      },
      refusal: () => undefined,
      takeSnapshot: () => undefined,
    };
    const { clock } = new VirtualEnvironment({ seed: 1 });
    const recipientOf = () => recipient;
    return new SnapshotReceiver({ files, clock, logger: silentLogger, recipientOf });
  }

  it('is dropped once the log has passed it, also after a restart (P3)', async () => {
    for (const isRestarted of [false, true]) {
      const disk = new MemoryDisk();
      let commitIndex = 3;
      let receiver = await receiverOn(disk, () => commitIndex);
      await receiver.serve(from, begin);
      await receiver.serve(from, encodeSnapshotCall(chunk));
      if (isRestarted) {
        await receiver.close();
        receiver = await receiverOn(disk, () => commitIndex);
      }
      receiver.review();
      await drainPromises();
      expect(await disk.list('snapshots')).toHaveLength(2);
      commitIndex = 9;
      receiver.review();
      await drainPromises();
      expect(receiver.progress(1)).toBeUndefined();
      expect(await disk.list('snapshots')).toEqual([]);
    }
  });

  it('is closed with the receiver, although its first call is under way', async () => {
    const disk = new MemoryDisk();
    const receiver = await receiverOn(disk, () => 3);
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const list = disk.list.bind(disk);
    disk.list = (path) => held.then(() => list(path));
    const begun = receiver.serve(from, begin);
    await drainPromises();
    const closed = receiver.close();
    goOn();
    await Promise.all([begun, closed]);
    expect(receiver.progress(1)).toBeUndefined();
  });
});
