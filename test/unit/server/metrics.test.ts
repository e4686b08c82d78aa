// Goal: /metrics holds what docs promise, in Prometheus's form; probes tell the truth.
// Method: scrape over HTTP, check with a parser of our own, and promtool where it is there.
import { spawnSync } from 'node:child_process';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterSnapshot } from '../../../src/server/cluster-metrics.js';
import { HttpServer, type Readiness } from '../../../src/server/http-server.js';
import { addProcessMetrics, ServerMetrics } from '../../../src/server/metrics.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { scheduler, startHarness } from '../../api/harness.js';
import { parseMetrics } from './prometheus-text.js';

const GROUP = {
  shard: '1',
  term: 4,
  commitIndex: 20,
  appliedIndex: 19,
  leaderChanges: 2,
  leading: true,
  followers: [{ nodeId: 2, lagEntries: 5, lagSeconds: 0.25 }],
  vectors: new Map([['notes', 7]]),
  engine: {
    headRows: 3,
    graphPoints: 30,
    graphTombstones: 6,
    renewing: true,
    graphsLoading: 2,
    graphsRebuilding: 1,
  },
};

const FAULTY = { ...GROUP, faultReason: 'entry-checksum' };

let registry: Registry;
let metrics: ServerMetrics;
let http: HttpServer;
let readiness: () => Readiness;
beforeEach(async () => {
  registry = new Registry();
  metrics = new ServerMetrics({ registry, version: '1.2.3', nodeId: 9 });
  readiness = () => ({ ready: true, missing: [] });
  http = await HttpServer.start({
    address: '127.0.0.1:0',
    registry,
    readiness: () => readiness(),
    scheduler,
    logger: silentLogger,
  });
});
afterEach(() => http.close());

const get = (path: string, method = 'GET') => fetch(`http://${http.address}${path}`, { method });
const scrape = async () => (await get('/metrics')).text();

describe('/metrics', () => {
  it('has every metric with name, type and help as Prometheus wants them', async () => {
    metrics.watchServer({ inflight: () => 3, connections: () => 4 });
    metrics.watchCluster({ snapshot: () => ({ healthy: true, groups: [FAULTY] }) });
    addProcessMetrics(registry);
    metrics.callFinished('Records/Search', 'UNAVAILABLE', 0.003);
    metrics.callFinished('Records/Upsert', 'OK', 0.01);
    metrics.fanOutFinished(0.002);
    metrics.mergeFinished(0.000_03);
    for (const place of ['local', 'remote', 'remote'] as const) metrics.shardAsked('search', place);
    metrics.describeEngine('avx2');
    const text = await scrape();
    const { series } = parseMetrics(text);
    expect(Object.fromEntries(series)).toMatchObject({
      'flotilla_shard_calls_total{operation="search",place="local"}': 1,
      'flotilla_shard_calls_total{operation="search",place="remote"}': 2,
      'raft_term{shard="1"}': 4,
      'raft_commit_index{shard="1"}': 20,
      'raft_apply_index{shard="1"}': 19,
      'raft_leader_changes_total{shard="1"}': 2,
      'replication_lag{shard="1",follower="2"}': 5,
      'replication_lag_seconds{shard="1",follower="2"}': 0.25,
      'flotilla_shard_vectors{shard="1",collection="notes"}': 7,
      'flotilla_shard_leader{shard="1"}': 1,
      'flotilla_replica_fault{shard="1",reason="entry-checksum"}': 1,
      flotilla_cluster_healthy: 1,
      'flotilla_build_info{version="1.2.3",node="9"}': 1,
      'flotilla_engine_info{instruction_set="avx2"}': 1,
      'flotilla_engine_head_rows{shard="1"}': 3,
      'flotilla_engine_graph_points{shard="1"}': 30,
      'flotilla_engine_graph_tombstones{shard="1"}': 6,
      'flotilla_engine_renewing{shard="1"}': 1,
      'flotilla_engine_graphs_loading{shard="1"}': 2,
      'flotilla_engine_graphs_rebuilding{shard="1"}': 1,
      flotilla_requests_in_flight: 3,
      flotilla_client_connections: 4,
      'flotilla_search_failures_total{method="Records/Search",code="UNAVAILABLE"}': 1,
      'flotilla_request_duration_seconds_count{method="Records/Upsert",code="OK"}': 1,
      flotilla_search_fan_out_duration_seconds_count: 1,
      flotilla_search_merge_duration_seconds_count: 1,
    });
    expect(text).not.toMatch(/nodejs_active_\w+_total/);
  });

  it.runIf(spawnSync('promtool', ['--version']).status === 0)('passes promtool', async () => {
    metrics.watchServer({ inflight: () => 3, connections: () => 4 });
    metrics.watchCluster({ snapshot: () => ({ healthy: true, groups: [GROUP] }) });
    addProcessMetrics(registry);
    metrics.callFinished('Records/Search', 'OK', 0.003);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await scrape(),
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('asks for one snapshot per scrape, and forgets shards that went away', async () => {
    let asked = 0;
    let groups: ClusterSnapshot['groups'] = [GROUP];
    metrics.watchCluster({
      snapshot: async () => {
        asked++;
        return { healthy: false, groups };
      },
    });
    expect(await scrape()).toContain('raft_leader_changes_total{shard="1"} 2');
    expect(asked).toBe(1);
    groups = [{ ...GROUP, shard: 'topology', leading: false, engine: undefined }];
    const text = await scrape();
    expect(asked).toBe(2);
    expect(text).not.toContain('flotilla_engine_head_rows{');
    expect(text).not.toContain('shard="1"');
    expect(text).toContain('raft_leader_changes_total{shard="topology"} 2');
    expect(text).toContain('flotilla_cluster_healthy 0');
  });

  it('serves all others while the cluster cannot be asked', async () => {
    metrics.watchCluster({
      snapshot: () => {
        throw new Error('stopping');
      },
    });
    const text = await scrape();
    expect(text).toContain('flotilla_build_info');
    expect(text).not.toContain('raft_term{');
  });

  it('keeps its labels few: collections beyond the first 50 are summed up', async () => {
    const vectors = new Map(Array.from({ length: 60 }, (_, i) => [`c${i}`, 2]));
    metrics.watchCluster({
      snapshot: () => ({ healthy: true, groups: [{ ...GROUP, vectors }] }),
    });
    const text = await scrape();
    expect(text.match(/flotilla_shard_vectors\{/g)).toHaveLength(51);
    expect(text).toContain('flotilla_shard_vectors{shard="1",collection="(other)"} 20');
  });

  it('counts the calls of a real server by method and code', async () => {
    await using harness = await startHarness();
    const notes = harness.client().collection('notes');
    await notes.count();
    await notes.search({ vector: [1, 2, 3], k: 1 }).catch(() => undefined);
    const { series } = parseMetrics(await harness.metrics.registry.metrics());
    const counted = 'flotilla_request_duration_seconds_count';
    expect(series.get(`${counted}{method="Records/Count",code="OK"}`)).toBe(1);
    expect(series.get(`${counted}{method="Records/Search",code="INVALID_ARGUMENT"}`)).toBe(1);
    expect(series.get('flotilla_client_connections')).toBe(1);
    expect(series.get('flotilla_requests_in_flight')).toBe(0);
  });
});

describe('probes', () => {
  it('/healthz says that the process lives', async () => {
    const answer = await get('/healthz');
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }]);
  });

  it('/readyz says what is missing', async () => {
    expect((await get('/readyz?verbose=1')).status).toBe(200);
    const faults = ['shard 4 on this node: entry-checksum: entry 7 is damaged'];
    readiness = () => ({ ready: false, missing: ['shard 3 has no leader'], faults });
    const answer = await get('/readyz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({
      status: 'not ready',
      missing: ['shard 3 has no leader'],
      faults,
    });
  });

  it('answers what it does not know in problem+json', async () => {
    const missing = await get('/nothing');
    expect(missing.status).toBe(404);
    expect(missing.headers.get('content-type')).toBe('application/problem+json');
    expect(await missing.json()).toMatchObject({ status: 404, title: 'Not found' });
    const posted = await get('/metrics', 'POST');
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    readiness = () => {
      throw new Error('secret');
    };
    const failed = await get('/readyz');
    expect(failed.status).toBe(500);
    expect(await failed.text()).not.toContain('secret');
  });

  it('answers HEAD without a body', async () => {
    const answer = await get('/readyz', 'HEAD');
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  it('closes more than once', async () => {
    await Promise.all([http.close(), http.close()]);
    await expect(get('/healthz')).rejects.toThrow();
  });
});
