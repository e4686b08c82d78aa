// Goal: a power cut between any two operations on the disk leaves a replica that comes back whole.
// Method: the same run again and again, cut one operation later each time, until none is left.
import { describe, expect, it } from 'vitest';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import { defined } from '../../../src/shared/assert.js';
import { ToyCluster, type ToyClusterOptions } from './toy-cluster.js';

const OPTIONS: ToyClusterOptions = {
  compaction: { ...COMPACTION_DEFAULTS, thresholdEntries: 10, trailingEntries: 3 },
  snapshotSender: { chunkSizeBytes: 400 },
};

/** Returns whether the power was cut before everything was done. */
async function runWithCut(
  cutAt: number,
  keepBatches: number,
  options: ToyClusterOptions,
): Promise<boolean> {
  const cluster = await ToyCluster.start({ ...OPTIONS, ...options });
  const leader = await cluster.electedLeader();
  const behind = defined(
    cluster.nodes.find((node) => node !== leader),
    'follower',
  );
  await cluster.write('first');
  await cluster.converged();
  cluster.isolate(behind.nodeId);
  for (let at = 0; at < 25; at++) await cluster.write(`missed ${at}`);

  let operations = 0;
  let isCut = false;
  behind.onDiskOperation = () => {
    operations += 1;
    if (operations < cutAt || isCut) return;
    isCut = true;
    void cluster.crash(behind.nodeId, { keepBatches });
    throw new Error('the power is gone');
  };
  cluster.heal();
  await cluster.until('it has caught up, or is cut', () => {
    return isCut || behind.group().appliedIndex === leader.group().appliedIndex;
  });
  behind.onDiskOperation = () => undefined;
  if (isCut) {
    await cluster.environment.advance(100);
    await cluster.boot(behind.nodeId);
  }
  await cluster.write('after');
  await cluster.converged();
  expect(behind.items()).toEqual(leader.items());
  expect(behind.faults).toEqual([]);
  await cluster.close();
  return isCut;
}

describe('a power cut while a snapshot is received and installed', () => {
  for (const keepBatches of [0, 1, 100]) {
    it(`that keeps ${keepBatches} unsynced writes loses nothing, ever (S-41)`, async () => {
      let cutAt = 1;
      while (await runWithCut(cutAt, keepBatches, {})) cutAt += 1;
      expect(cutAt).toBeGreaterThan(10);
    }, 60_000);
  }

  it('is survived by a state that is only in memory (S-41)', async () => {
    let cutAt = 1;
    while (await runWithCut(cutAt, 0, { isDurable: false })) cutAt += 1;
    expect(cutAt).toBeGreaterThan(10);
  }, 60_000);
});
