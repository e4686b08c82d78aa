// Goal: reads that say `leased` see every acknowledged write, leases on or off (P-4, P-5, R6).
// Method: clusters of three nodes in this process; readers and writers while leaders change.
import { Cluster } from 'flotilla';
import { describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.js';
import { FAST, leaderOf } from './harness.js';

const NAME = 'records';

describe.each([true, false])('with leases: %s', (leases) => {
  it('no leased read is older than a write acknowledged before it, over failovers', async () => {
    await using cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 1, leases });
    const client = cluster.client({ timeoutMs: 30_000 });
    await client.createCollection({ name: NAME, dimension: 2, metric: 'l2' });
    const records = client.collection<{ round: number }>(NAME);
    let newest = 0;
    let isDone = false;
    let reads = 0;
    const stale: string[] = [];
    const read = async (): Promise<void> => {
      while (!isDone) {
        const known = newest;
        const [found] = await records.fetch(['a'], { consistency: 'leased' });
        const round = found?.metadata?.round ?? 0;
        if (round < known) stale.push(`${round} after ${known}`);
        const { hits } = await records.search({ vector: [1, 1], k: 1 }, { consistency: 'leased' });
        if ((hits[0]?.metadata?.round ?? 0) < known) stale.push(`search: older than ${known}`);
        reads += 1;
      }
    };
    const write = async (): Promise<void> => {
      await records.upsert([{ id: 'a', values: [1, 1], metadata: { round: newest + 1 } }]);
      newest += 1;
    };
    const reading = [read(), read()];
    for (let change = 0; change < 3; change++) {
      const before = await leaderOf(client, 0);
      const enough = newest + 20;
      while (newest < enough) await write();
      const { leaderNodeId } = await client.transferLeadership({ shardId: 0 });
      expect(leaderNodeId).not.toBe(before);
      await write();
    }
    const leader = await leaderOf(client, 0);
    await cluster.stopNode(leader);
    const read0 = reads;
    await write();
    await waitUntil('reads after the stop', () => reads > read0 + 5);
    isDone = true;
    await Promise.all(reading);
    expect(stale).toEqual([]);
    expect(await records.count({ consistency: 'leased' })).toBe(1);
  });

  it('a majority confirms each strong read, and a leased one where there is no lease', async () => {
    await using cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 1, leases });
    const client = cluster.client({ timeoutMs: 30_000 });
    await client.createCollection({ name: NAME, dimension: 2, metric: 'l2' });
    const records = client.collection(NAME);
    /** What reads of this level add to the count of confirmations, on all nodes together. */
    const confirmedOf = async (consistency: 'leased' | 'strong', reads: number) => {
      const before = await confirmations(cluster);
      for (let at = 0; at < reads; at++) await records.count({ consistency });
      return (await confirmations(cluster)) - before;
    };
    expect(await confirmedOf('strong', 10)).toBeGreaterThanOrEqual(10);
    if (leases) {
      await waitUntil('reads by a lease', async () => (await confirmedOf('leased', 10)) === 0);
    } else expect(await confirmedOf('leased', 10)).toBeGreaterThanOrEqual(10);
  });
});

async function confirmations({ addresses }: Cluster): Promise<number> {
  const pages = addresses.map(async ({ http }) => (await fetch(`http://${http}/metrics`)).text());
  const samples = (await Promise.all(pages)).flatMap((page) => [
    ...page.matchAll(/^flotilla_reads_confirmed_total\{.*\} (\d+)$/gm),
  ]);
  return samples.reduce((sum, [, count]) => sum + Number(count), 0);
}
