/**
 * Writes through Raft as a client sees them, through one group and through 32, beside what LevelDB
 * can sync at all; linearizable reads; and the same work done by etcd.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Flotilla } from '../../src/client/index.js';
import { RealDisk } from '../../src/node/real-disk.js';
import type { Kv } from '../../src/shared/kv.js';
import { ProcessCluster } from '../../test/support/process-cluster.js';
import { EtcdCluster, etcdVersion } from '../harness/etcd-cluster.js';
import { type Load, runInTurns, type Turns } from '../harness/load.js';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';

const NODES = 3;
const REPLICATION_FACTOR = 3;
const MANY_GROUPS = 32;
const WRITERS = [1, 16, 64];
const READERS = [1, 16, 64];
/** As small as a record gets: what is measured is the way, not the graph. */
const DIMENSION = 4;
const VALUES = new Float32Array(DIMENSION).fill(0.5);
const ENTRY_BYTES = 100;
const COLLECTION = 'consensus';
const KEYS = 1_000;
const TIMEOUT_MS = 60_000;
/** Reads that the replica on the asked node serves, whichever leads. */
const RELAXED = [
  ['bounded (500 ms)', { boundedMs: 500 }],
  ['session', 'session'],
  ['eventual', 'eventual'],
] as const;

export const consensus: Scenario = {
  name: 'consensus',
  description:
    `writes through 1 and ${MANY_GROUPS} Raft groups beside synced LevelDB batches, strong, ` +
    'leased, bounded, session and eventual reads, the same work done by three etcd processes',
  run: runConsensus,
};

/** What has to be stopped at the end, the last first. */
type Cleanup = (() => Promise<unknown>)[];

async function runConsensus(context: BenchContext): Promise<Measurement> {
  const { quick, progress } = context;
  const turns: Turns = quick
    ? { slices: 2, sliceMs: 300 }
    : { slices: 7, sliceMs: 1_500, warmUpSlices: 2 };
  const cleanup: Cleanup = [];
  try {
    progress('opening LevelDB');
    const kv = await openLevelDb(cleanup);
    progress(`starting ${NODES} nodes with one shard, then with ${MANY_GROUPS}`);
    const one = await startFlotilla(1, cleanup);
    const many = await startFlotilla(MANY_GROUPS, cleanup);
    const version = etcdVersion();
    progress(version === undefined ? 'no etcd here: apt-get install etcd-server' : 'starting etcd');
    const etcd = version === undefined ? undefined : await startEtcd(cleanup);
    progress('writes');
    const writes = await runInTurns(writeLoads({ kv, one, many, etcd }), turns);
    progress('reads');
    await fill(one, etcd);
    const reads = await runInTurns(readLoads(one, etcd), turns);
    const parameters = {
      nodes: NODES,
      replicationFactor: REPLICATION_FACTOR,
      record: `${DIMENSION} floats`,
      entryBytes: ENTRY_BYTES,
      etcd: version ?? 'absent',
      clientProcesses: 1,
      slices: turns.slices,
      sliceMs: turns.sliceMs,
    };
    return { parameters, figures: [...writes, ...reads] };
  } finally {
    for (const stop of cleanup.reverse()) await stop();
  }
}

async function openLevelDb(cleanup: Cleanup): Promise<Kv> {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const kv = await new RealDisk().openKv(join(directory, 'kv'));
  cleanup.push(async () => {
    await kv.close();
    rmSync(directory, { recursive: true });
  });
  return kv;
}

async function startFlotilla(shards: number, cleanup: Cleanup): Promise<Flotilla> {
  const nodes = await ProcessCluster.start({
    nodes: NODES,
    shards,
    replicationFactor: REPLICATION_FACTOR,
    flags: { 'cluster-leases': true },
  });
  cleanup.push(() => nodes.destroy());
  const client = new Flotilla(nodes.addresses, { timeoutMs: TIMEOUT_MS });
  cleanup.push(() => client.close());
  await client.createCollection({ name: COLLECTION, dimension: DIMENSION, metric: 'l2' });
  return client;
}

async function startEtcd(cleanup: Cleanup): Promise<EtcdCluster> {
  const etcd = await EtcdCluster.start();
  cleanup.push(() => etcd.destroy());
  return etcd;
}

interface Writable {
  readonly kv: Kv;
  readonly one: Flotilla;
  readonly many: Flotilla;
  readonly etcd: EtcdCluster | undefined;
}

function writeLoads({ kv, one, many, etcd }: Writable): Load[] {
  return WRITERS.flatMap((writers): Load[] => {
    const synced = `LevelDB, one synced batch of ${writers} at a time`;
    const byEtcd = `etcd, ${writers} writers`;
    const ratiosOf = etcd === undefined ? [synced] : [synced, byEtcd];
    return [
      { name: `1 group, ${writers} writers`, inflight: writers, ratiosOf, call: upsertTo(one) },
      {
        name: `${MANY_GROUPS} groups, ${writers} writers`,
        inflight: writers,
        ratiosOf,
        call: upsertTo(many),
      },
      {
        name: synced,
        inflight: 1,
        unitsPerCall: writers,
        call: (sequence) => putBatch(kv, sequence * writers, writers),
      },
      ...(etcd === undefined
        ? []
        : [
            {
              name: byEtcd,
              inflight: writers,
              call: (sequence: number) => etcd.put(`k${sequence % KEYS}`, ETCD_VALUE),
            },
          ]),
    ];
  });
}

const ETCD_VALUE = new Uint8Array(ENTRY_BYTES).fill(1);

/** The same thousand records again and again, as etcd's keys. */
function upsertTo(client: Flotilla): Load['call'] {
  const collection = client.collection(COLLECTION);
  return (sequence) => collection.upsert([{ id: `r${sequence % KEYS}`, values: VALUES }]);
}

function putBatch(kv: Kv, first: number, count: number): Promise<void> {
  const operations = Array.from({ length: count }, (_, at) => ({
    type: 'put' as const,
    key: Buffer.from(String(first + at).padStart(16, '0')),
    value: ETCD_VALUE,
  }));
  return kv.batch(operations, { sync: true });
}

async function fill(one: Flotilla, etcd: EtcdCluster | undefined): Promise<void> {
  const records = Array.from({ length: KEYS }, (_, at) => ({ id: `r${at}`, values: VALUES }));
  await one.collection(COLLECTION).upsert(records);
  for (let at = 0; at < KEYS; at++) await etcd?.put(`k${at}`, ETCD_VALUE);
}

function readLoads(one: Flotilla, etcd: EtcdCluster | undefined): Load[] {
  const collection = one.collection(COLLECTION);
  return READERS.flatMap((readers): Load[] => {
    const strong = `strong fetch, ${readers} readers`;
    const byEtcd = `etcd linearizable range, ${readers} readers`;
    return [
      {
        name: strong,
        inflight: readers,
        ratiosOf: etcd === undefined ? [] : [byEtcd],
        call: (sequence) => collection.fetch([`r${sequence % KEYS}`]),
      },
      {
        name: `leased fetch, ${readers} readers`,
        inflight: readers,
        ratiosOf: etcd === undefined ? [strong] : [strong, byEtcd],
        call: (sequence) => collection.fetch([`r${sequence % KEYS}`], { consistency: 'leased' }),
      },
      ...RELAXED.map(([name, consistency]) => ({
        name: `${name} fetch, ${readers} readers`,
        inflight: readers,
        ratiosOf: [strong],
        call: (sequence: number) => collection.fetch([`r${sequence % KEYS}`], { consistency }),
      })),
      ...(etcd === undefined
        ? []
        : [
            {
              name: byEtcd,
              inflight: readers,
              call: (sequence: number) => etcd.get(`k${sequence % KEYS}`),
            },
          ]),
    ];
  });
}
