// Goal: a node that stands still costs the shards that only it has, and no call hangs (F-20, M-53).
// Method: three processes, one of them under SIGSTOP, asked by way of the others until SIGCONT.
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Collection,
  Flotilla,
  isFlotillaError,
  type SearchResult,
} from '../../src/client/index.js';
import { defined } from '../../src/shared/assert.js';
import { ProcessCluster, type ProcessClusterOptions } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

interface Row {
  readonly row: number;
}

const NAME = 'rows';
const ROWS = 240;
const QUERY = { vector: [0], k: ROWS };
const SLEEPER = 3;
/** Enough for elections, on a busy machine too; the calls end by themselves long before. */
const PATIENT_MS = 60_000;

let cluster: ProcessCluster | undefined;
let client: Flotilla | undefined;

afterEach(async () => {
  await client?.close();
  await cluster?.destroy();
  client = undefined;
  cluster = undefined;
});

/** A cluster with rows in it, and a client that knows the nodes which stay awake. */
async function filled(options: ProcessClusterOptions): Promise<Collection<Row>> {
  const started = await ProcessCluster.start(options);
  cluster = started;
  const awake = started.nodeIds.filter((nodeId) => nodeId !== SLEEPER);
  const addresses = awake.map((nodeId) => started.clientAddress(nodeId));
  client = new Flotilla(addresses, { routing: 'proxy', timeoutMs: PATIENT_MS });
  await client.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
  const rows = client.collection<Row>(NAME);
  const { appliedCount } = await rows.upsert(recordsFrom(0, ROWS));
  expect(appliedCount).toBe(ROWS);
  return rows;
}

function recordsFrom(first: number, count: number) {
  return Array.from({ length: count }, (_, at) => {
    const row = first + at;
    return { id: `row-${row}`, values: [row], metadata: { row } };
  });
}

/** The shards that the node leads, when all are led and their replicas have applied the same. */
async function shardsLedBy(nodeId: number): Promise<number[]> {
  let led: number[] = [];
  await waitUntil('every shard has a leader, and replicas that are even', async () => {
    const { shards } = await defined(client, 'a client').status();
    const isEven = shards.every(({ replicas }) => {
      return new Set(replicas.map(({ appliedIndex }) => appliedIndex)).size === 1;
    });
    led = shards
      .filter(({ leaderNodeId }) => leaderNodeId === nodeId)
      .map(({ shardId }) => shardId)
      .sort((a, b) => a - b);
    return isEven && shards.every(({ leaderNodeId }) => leaderNodeId > 0);
  });
  return led;
}

const idsOf = ({ hits }: SearchResult<Row>): string[] => hits.map(({ id }) => id).sort();

/**
 * A search that may do without shards, as it is answered. A node keeps a tenth of the time that the
 * client gives it for the way back (50 ms at most), and sends what it has after nine tenths of the
 * rest: of a call of 500 ms, whose first attempt has 300, that is 57 ms before the attempt is over.
 * A machine that is busy with something else may take longer for the way, or for what a shard that
 * is awake has to do. So two things may happen instead of the right answer, and are tried again:
 * the client's own deadline, which says nothing about shards; and an answer that names another
 * shard besides. Nothing else may: no answer that is whole, or names fewer.
 */
async function degradedSearch(
  rows: Collection<Row>,
  missing: readonly number[],
  timeoutMs: number,
): Promise<SearchResult<Row>> {
  let answer: SearchResult<Row> | undefined;
  let surprise: unknown;
  await waitUntil(`a search of ${timeoutMs} ms is answered in its time`, async () => {
    try {
      answer = await rows.search(QUERY, { allowPartial: true, timeoutMs });
    } catch (error) {
      if (isFlotillaError(error) && error.reason === 'DEADLINE_EXCEEDED') return false;
      surprise = error;
      return true;
    }
    const { failed } = answer.shards;
    const isLate = failed.length > missing.length && missing.every((id) => failed.includes(id));
    return !isLate;
  });
  if (surprise !== undefined) throw surprise;
  return defined(answer, 'an answer');
}

/** The shards that a search names which may do without none; its deadline may come first, too. */
async function shardsMissedBy(rows: Collection<Row>, timeoutMs: number): Promise<string> {
  let reason = '';
  let shards = '';
  await waitUntil(`a search of ${timeoutMs} ms says what is missing`, async () => {
    const ended: unknown = await rows.search(QUERY, { timeoutMs }).catch((error: unknown) => error);
    reason = isFlotillaError(ended) ? ended.reason : 'none';
    shards = isFlotillaError(ended) ? (ended.body.details?.shards ?? '') : '';
    return reason !== 'DEADLINE_EXCEEDED';
  });
  expect(reason).toBe('SHARD_UNAVAILABLE');
  return shards;
}

describe('SIGSTOP of a node that alone has its shards', () => {
  it('leaves searches the others, until SIGCONT makes them whole (F-20, M-53)', async () => {
    const shards = 6;
    const rows = await filled({ shards, replicationFactor: 1 });
    const whole = await rows.search(QUERY);
    expect(whole).toMatchObject({ degraded: false, shards: { total: shards, ok: shards } });
    expect(whole.hits).toHaveLength(ROWS);
    const missing = await shardsLedBy(SLEEPER);
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.length).toBeLessThan(shards);

    cluster?.pause(SLEEPER);
    const parts = new Set<string>();
    for (const timeoutMs of [500, 1_000, 5_000]) {
      const answer = await degradedSearch(rows, missing, timeoutMs);
      expect(answer.degraded).toBe(true);
      expect([...answer.shards.failed].sort((a, b) => a - b)).toEqual(missing);
      expect(answer.shards).toMatchObject({ total: shards, ok: shards - missing.length });
      const found = idsOf(answer);
      expect(found.length).toBeGreaterThan(0);
      expect(idsOf(whole)).toEqual(expect.arrayContaining(found));
      parts.add(found.join());
      const named = await shardsMissedBy(rows, timeoutMs);
      expect(named.split(',').map(Number)).toEqual(expect.arrayContaining(missing));
    }
    // Every time the same records are there, all of them readable, and no other one is.
    expect(parts.size).toBe(1);
    const [present = ''] = parts;
    const ids = present.split(',');
    expect(await rows.fetch(ids)).toHaveLength(ids.length);
    const absent = idsOf(whole).filter((id) => !ids.includes(id));
    for (const id of absent.slice(0, 2)) {
      await expect(rows.fetch([id], { timeoutMs: 1_000 })).rejects.toMatchObject({
        code: expect.stringMatching(/^(UNAVAILABLE|DEADLINE_EXCEEDED)$/),
      });
    }

    cluster?.resume(SLEEPER);
    await waitUntil('searches are whole again', async () => {
      const answer = await rows.search(QUERY, { allowPartial: true, timeoutMs: 5_000 });
      return !answer.degraded;
    });
    expect(idsOf(await rows.search(QUERY))).toEqual(idsOf(whole));
    expect(await rows.search(QUERY, { allowPartial: true })).toMatchObject({
      degraded: false,
      shards: { total: shards, ok: shards, failed: [] },
    });
  });
});

describe('SIGSTOP of one of three replicas of each shard', () => {
  it('stops neither reads that any replica may serve nor writes (F-4, F-20)', async () => {
    const rows = await filled({ shards: 3, replicationFactor: 3 });
    expect(await shardsLedBy(SLEEPER)).not.toEqual([]);

    cluster?.pause(SLEEPER);
    for (let round = 0; round < 5; round++) {
      for (const consistency of ['eventual', { boundedMs: 1_000 }] as const) {
        const { hits, degraded, served } = await rows.search(QUERY, { consistency });
        expect([hits.length, degraded]).toEqual([ROWS, false]);
        expect(served.map(({ nodeId }) => nodeId)).not.toContain(SLEEPER);
        expect(await rows.fetch(['row-1', 'row-2'], { consistency })).toHaveLength(2);
      }
      const { appliedCount } = await rows.upsert(recordsFrom(0, ROWS));
      expect(appliedCount).toBe(ROWS);
    }
    const { appliedCount } = await rows.upsert(recordsFrom(ROWS, 10));
    expect(appliedCount).toBe(10);

    cluster?.resume(SLEEPER);
    await cluster?.ready();
    const sleeper = new Flotilla(defined(cluster, 'a cluster').clientAddress(SLEEPER), {
      routing: 'proxy',
      timeoutMs: PATIENT_MS,
    });
    expect(await sleeper.collection(NAME).count()).toBe(ROWS + 10);
    await sleeper.close();
  });
});
