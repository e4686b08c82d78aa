// Goal: a replica that the log does not reach gets a snapshot, whatever is cut, lost or restarted,
// and never half of one. Method: hosts in virtual time over disks in memory; requests by hand.
import { describe, expect, it } from 'vitest';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import { decodeSnapshotCall, type SnapshotCall } from '../../../src/replica/snapshot-wire.js';
import { defined } from '../../../src/shared/assert.js';
import { SERVICE } from '../../../src/shared/codec/services.js';
import {
  ELECTION_TIMEOUT_MS,
  ToyCluster,
  type ToyClusterOptions,
  type ToyNode,
} from './toy-cluster.js';

const COMPACTION = { ...COMPACTION_DEFAULTS, thresholdEntries: 20, trailingEntries: 5 };
/** So that a toy's state takes a dozen of them. */
const CHUNK_SIZE_BYTES = 64;

function start(options: ToyClusterOptions = {}): Promise<ToyCluster> {
  const snapshotSender = { chunkSizeBytes: CHUNK_SIZE_BYTES, ...options.snapshotSender };
  return ToyCluster.start({ compaction: COMPACTION, ...options, snapshotSender });
}

async function writeMany(cluster: ToyCluster, count: number, prefix = 'w'): Promise<void> {
  for (let at = 0; at < count; at++) await cluster.write(`${prefix} ${at}`);
}

const firstIndex = (node: ToyNode): number => node.running.logStore.reader(1).firstIndex();
const follower = (cluster: ToyCluster, leader: ToyNode): ToyNode =>
  defined(
    cluster.alive.find((node) => node !== leader),
    'follower',
  );

/** A follower that has missed so much that the log of the others does not reach it. */
async function leftBehind(cluster: ToyCluster): Promise<{ leader: ToyNode; behind: ToyNode }> {
  const leader = await cluster.electedLeader();
  await cluster.write('first');
  const behind = follower(cluster, leader);
  cluster.isolate(behind.nodeId);
  await writeMany(cluster, 60);
  expect(firstIndex(leader)).toBeGreaterThan(behind.group().status().lastIndex + 1);
  return { leader, behind };
}

const snapshotCall = (payload: Uint8Array): SnapshotCall | undefined =>
  payload[0] === SERVICE.snapshot ? decodeSnapshotCall(payload) : undefined;

describe('the log', () => {
  it('is cut behind what is applied, and keeps a trailing window (S9)', async () => {
    const cluster = await start();
    await writeMany(cluster, 100);
    await cluster.converged();
    for (const node of cluster.nodes) {
      const { appliedIndex } = node.group();
      expect(firstIndex(node)).toBeGreaterThan(appliedIndex - 2 * COMPACTION.thresholdEntries);
      expect(firstIndex(node)).toBeLessThanOrEqual(appliedIndex - COMPACTION.trailingEntries + 1);
      expect(node.running.files.list(1)).toEqual([]);
    }
    await cluster.close();
  });

  it('of a state that is only in memory is cut behind a snapshot alone', async () => {
    const cluster = await start({ isDurable: false });
    await writeMany(cluster, 100);
    await cluster.converged();
    for (const node of cluster.nodes) {
      expect(firstIndex(node)).toBeGreaterThan(1);
      const [file] = node.running.files.list(1);
      expect(defined(file, 'snapshot').index).toBeGreaterThanOrEqual(firstIndex(node) - 1);
      expect(node.running.files.list(1)).toHaveLength(1);
    }
    const before = cluster.node(1).items();
    for (const { nodeId } of cluster.alive) await cluster.crash(nodeId);
    for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
    await cluster.write('after');
    await cluster.converged();
    for (const node of cluster.nodes) {
      expect(node.items().map(({ text }) => text)).toEqual([
        ...before.map(({ text }) => text),
        'after',
      ]);
    }
    await cluster.close();
  });
});

describe('a follower that was away longer than the log', () => {
  it('is brought up by a snapshot, and by the log behind it (P1, S-39)', async () => {
    const cluster = await start();
    const { leader, behind } = await leftBehind(cluster);
    cluster.heal();
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    expect(behind.faults).toEqual([]);
    expect(firstIndex(behind)).toBeGreaterThan(2);
    await writeMany(cluster, 5, 'later');
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    await cluster.close();
  });

  it('converges while writes go on faster than the snapshot is sent (S-39)', async () => {
    const cluster = await start({ snapshotSender: { bytesPerSecondMax: 2_000 } });
    const { leader, behind } = await leftBehind(cluster);
    cluster.heal();
    let sent = 0;
    cluster.onRequest = (_from, _to, payload) => {
      if (snapshotCall(payload)?.method === 'finish') sent += 1;
      return payload;
    };
    for (let at = 0; at < 100 || behind.group().appliedIndex < 100; at++) {
      expect(at).toBeLessThan(5_000);
      await cluster.write(`during ${at}`);
      await cluster.environment.advance(10);
    }
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    expect(sent).toBe(1);
    await cluster.close();
  });

  it('shows how far the snapshot has come, and how fast', async () => {
    const cluster = await start({ snapshotSender: { bytesPerSecondMax: 1_000 } });
    const { leader, behind } = await leftBehind(cluster);
    cluster.heal();
    const sending = () => leader.group().status().sending.get(behind.nodeId);
    await cluster.until('half of it is sent', () => {
      const progress = sending();
      return progress !== undefined && progress.doneBytes > progress.sizeBytes / 2;
    });
    expect(sending()?.bytesPerSecond).toBeGreaterThan(500);
    expect(sending()?.bytesPerSecond).toBeLessThan(1_500);
    const receiving = behind.group().status().receiving;
    expect(receiving?.sizeBytes).toBe(sending()?.sizeBytes);
    expect(receiving?.doneBytes).toBeGreaterThan(0);
    await cluster.converged();
    expect(behind.group().status().receiving).toBeUndefined();
    await cluster.close();
  });

  it('gets a piece again that was lost, damaged, or answered in vain (S-37)', async () => {
    const cluster = await start();
    const { leader, behind } = await leftBehind(cluster);
    const { random } = cluster.environment;
    const offsets: number[] = [];
    cluster.onRequest = (_from, _to, payload) => {
      const call = snapshotCall(payload);
      if (call?.method === 'chunk') offsets.push(call.offset);
      const dice = random.next();
      if (dice < 0.2) return 'lost';
      if (dice < 0.4) return 'answer-lost';
      if (dice < 0.6 && call?.method === 'chunk') {
        const damaged = payload.slice();
        damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1;
        return damaged;
      }
      return payload;
    };
    cluster.heal();
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    expect(new Set(offsets).size).toBeLessThan(offsets.length);
    await cluster.close();
  });
});

describe('a piece that was damaged on its way', () => {
  it('is sent again by itself, not the whole file (S-37)', async () => {
    const cluster = await start();
    const { leader, behind } = await leftBehind(cluster);
    const offsets: number[] = [];
    cluster.onRequest = (_from, _to, payload) => {
      const call = snapshotCall(payload);
      if (call?.method !== 'chunk') return payload;
      offsets.push(call.offset);
      if (offsets.length !== 4) return payload;
      const damaged = payload.slice();
      damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1;
      return damaged;
    };
    cluster.heal();
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    const again = offsets.filter((offset, at) => offsets.indexOf(offset) < at);
    expect(again).toEqual([3 * CHUNK_SIZE_BYTES]);
    await cluster.close();
  });
});

/** Flips a bit of the only snapshot that has come, or comes, to a node. */
async function damageSnapshotOn(node: ToyNode, kind: 'part' | 'snap'): Promise<void> {
  const names = await node.disk.list('node/snapshots');
  const name = defined(
    names.find((one) => one.endsWith(`.${kind}`)),
    `a ${kind} file`,
  );
  const file = await node.disk.openFile(`node/snapshots/${name}`, 'write');
  const at = Math.floor(file.sizeBytes / 2);
  const [byte] = await file.read(at, 1);
  await file.write(at, Uint8Array.of((byte as number) ^ 1));
  await file.sync();
  await file.close();
}

describe('a snapshot that the disk of its receiver damages', () => {
  it('behind the last piece is fetched again before the log begins anew (S4, P-8)', async () => {
    const cluster = await start();
    const { leader, behind } = await leftBehind(cluster);
    const calls: string[] = [];
    let damaged: Promise<void> | undefined;
    cluster.onRequest = (_from, to, payload) => {
      const call = snapshotCall(payload);
      if (call === undefined) return payload;
      calls.push(call.method);
      if (call.method === 'finish' && damaged === undefined) {
        const node = defined(cluster.nodes[to - 1], 'receiver');
        damaged = damageSnapshotOn(node, 'part');
      }
      return payload;
    };
    cluster.heal();
    const logBefore = firstIndex(behind);
    await cluster.until('it is asked for again', () => {
      return calls.filter((method) => method === 'begin').length === 2;
    });
    await damaged;
    expect(firstIndex(behind)).toBe(logBefore);
    expect(behind.running.files.list(1)).toEqual([]);
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    expect(behind.faults).toEqual([]);
    expect(calls.filter((method) => method === 'finish')).toHaveLength(2);
    // The sender's own file is in order: the same one is sent again.
    expect(leader.running.files.list(1)).toHaveLength(1);
    await cluster.close();
  });

  it('while its process is down is fetched again, not installed (S4, S-41, P-8)', async () => {
    const cluster = await start();
    const { leader, behind } = await leftBehind(cluster);
    // The file is whole, and the log never comes to begin anew.
    behind.diskDelayMs = 1_000_000;
    cluster.heal();
    await cluster.until('the file is whole', () => behind.running.files.list(1).length > 0);
    await cluster.crash(behind.nodeId, { keepBatches: 100 });
    behind.diskDelayMs = 0;
    await damageSnapshotOn(behind, 'snap');
    await cluster.boot(behind.nodeId);
    expect(firstIndex(behind)).toBe(1);
    await cluster.converged();
    expect(firstIndex(behind)).toBeGreaterThan(1);
    expect(behind.items()).toEqual(leader.items());
    expect(behind.faults).toEqual([]);
    await cluster.close();
  });
});

/** Lets a transfer run until `count` pieces have been taken, then gives control. */
async function untilPieces(cluster: ToyCluster, count: number): Promise<() => number[]> {
  const offsets: number[] = [];
  cluster.onRequest = (_from, _to, payload) => {
    const call = snapshotCall(payload);
    if (call?.method === 'chunk') offsets.push(call.offset);
    return payload;
  };
  await cluster.until(`${count} pieces`, () => offsets.length >= count);
  return () => offsets;
}

describe('a transfer goes on where it was (S-37)', () => {
  const slow = { snapshotSender: { bytesPerSecondMax: 4_000 } };

  for (const count of [1, 2, 5, 9]) {
    it(`after the receiver was restarted behind piece ${count}`, async () => {
      const cluster = await start(slow);
      const { leader, behind } = await leftBehind(cluster);
      cluster.heal();
      const offsets = await untilPieces(cluster, count);
      await cluster.crash(behind.nodeId, { keepBatches: 100 });
      const before = offsets().length;
      await cluster.boot(behind.nodeId);
      await cluster.converged();
      expect(behind.items()).toEqual(leader.items());
      const resumedAt = Math.min(...offsets().slice(before));
      expect(resumedAt).toBeGreaterThanOrEqual((count - 2) * CHUNK_SIZE_BYTES);
      await cluster.close();
    });

    it(`after the sender was restarted behind piece ${count}`, async () => {
      const cluster = await start(slow);
      const { leader, behind } = await leftBehind(cluster);
      cluster.heal();
      await untilPieces(cluster, count);
      await cluster.crash(leader.nodeId, { keepBatches: 100 });
      await cluster.boot(leader.nodeId);
      await cluster.write('after');
      await cluster.converged();
      expect(behind.items()).toEqual(cluster.leader()?.items());
      expect(behind.faults).toEqual([]);
      await cluster.close();
    });

    it(`after the link was cut behind piece ${count}`, async () => {
      const cluster = await start(slow);
      const { leader, behind } = await leftBehind(cluster);
      cluster.heal();
      const offsets = await untilPieces(cluster, count);
      cluster.isolate(behind.nodeId);
      await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);
      const before = offsets().length;
      cluster.heal();
      await cluster.converged();
      expect(behind.items()).toEqual(leader.items());
      const resumedAt = Math.min(...offsets().slice(before));
      expect(resumedAt).toBeGreaterThanOrEqual((count - 2) * CHUNK_SIZE_BYTES);
      await cluster.close();
    });
  }
});

describe('a new leader amid a transfer', () => {
  it('sends its own snapshot; nothing of the old one stays (S-38)', async () => {
    const cluster = await start({ snapshotSender: { bytesPerSecondMax: 4_000 } });
    const { leader, behind } = await leftBehind(cluster);
    const other = defined(
      cluster.nodes.find((node) => node !== leader && node !== behind),
      'the other follower',
    );
    cluster.heal();
    await untilPieces(cluster, 4);
    await cluster.environment.settle(
      leader.group().transferLeadership(other.nodeId, { timeoutMs: 10_000 }),
    );
    await writeMany(cluster, 30, 'newer');
    await cluster.converged();
    expect(behind.items()).toEqual(other.items());
    const names = await behind.disk.list('node/snapshots');
    expect(names.filter((name) => !name.endsWith('.snap'))).toEqual([]);
    expect(behind.running.files.list(1).length).toBeLessThanOrEqual(1);
    await cluster.close();
  });
});

describe('a receiver that takes a snapshot slower than writes come', () => {
  it('keeps no more of the log than the bound, and then gets a newer one (S9, P-10)', async () => {
    const compaction = { ...COMPACTION, transferBytesMax: 6_000 };
    const cluster = await start({ compaction, snapshotSender: { bytesPerSecondMax: 400 } });
    const { leader, behind } = await leftBehind(cluster);
    const sent: number[] = [];
    cluster.onRequest = (_from, _to, payload) => {
      const call = snapshotCall(payload);
      if (call?.method === 'finish') sent.push(call.id.index);
      return payload;
    };
    cluster.heal();
    let largestBytes = 0;
    const filler = 'x'.repeat(80);
    for (let at = 0; sent.length === 0; at++) {
      expect(at).toBeLessThan(2_000);
      await cluster.write(`during ${at} ${filler}`);
      await cluster.environment.advance(10);
      largestBytes = Math.max(largestBytes, leader.running.logStore.logSizeBytes(1));
    }
    expect(largestBytes).toBeGreaterThanOrEqual(compaction.transferBytesMax);
    expect(largestBytes).toBeLessThan(1.1 * compaction.transferBytesMax);
    const [first] = sent as [number];
    expect(firstIndex(leader)).toBeGreaterThan(first + 1);
    await cluster.until('the newer one is whole', () => sent.length === 2, 1_000_000);
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    expect(sent[1]).toBeGreaterThan(first);
    await writeMany(cluster, 3 * COMPACTION.thresholdEntries, 'later');
    await cluster.converged();
    expect(leader.running.files.list(1).length).toBeLessThanOrEqual(1);
    expect(firstIndex(leader)).toBeGreaterThan((sent[1] as number) + 1);
    await cluster.close();
  });
});

describe('a receiver that does not answer', () => {
  it('is reported as failed, and tried again when it is back (S-24, P2)', async () => {
    const stalledTimeoutMs = 3_000;
    const cluster = await start({ snapshotSender: { stalledTimeoutMs } });
    const { leader, behind } = await leftBehind(cluster);
    cluster.onRequest = (_from, _to, payload) => (snapshotCall(payload) ? 'lost' : payload);
    cluster.heal();
    const state = (): string | undefined =>
      leader
        .group()
        .status()
        .progress.find(({ id }) => id === behind.nodeId)?.state;
    await cluster.until('it begins', () => state() === 'StateSnapshot');
    await cluster.until('it is given up', () => state() !== 'StateSnapshot');
    await cluster.until('it begins again', () => state() === 'StateSnapshot');
    cluster.onRequest = undefined;
    await cluster.converged();
    expect(behind.items()).toEqual(leader.items());
    await cluster.close();
  });
});
