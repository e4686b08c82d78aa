/**
 * Goal: after everything has healed the cluster serves again, within a bound, and has kept its
 * promises. Method: wait, read everything, write everything, compare what the replicas store.
 */

import type { ClusterStatus } from '../../../src/shared/codec/admin-messages.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { HOME, spaceOf } from './address.js';
import type { Machine } from './machine.js';
import type { Stack } from './stack.js';
import { overdueRecords, verified } from './verification.js';

/** Virtual time from the heal until all serve: restarts, elections, backoffs of the links. */
const RECOVERY_LIMIT_MS = 60_000;
const CALM_LIMIT_MS = 30_000;
const STATUS_TIMEOUT_MS = 4_000;
const POLL_MS = 200;
/** Nothing is in the way: a call that fails now has no excuse. */
const PATIENCE = { patienceMs: 10_000, attemptMs: 5_000 };
const KEYS_MAX = new Uint8Array(64).fill(0xff);

/** Heals everything, waits, and uses the cluster. False where something is wrong. */
export async function settle(stack: Stack): Promise<boolean> {
  const { findings, clients, operator, administrator, landlord, repairs, nemesis, wire } = stack;
  if (findings.first !== undefined) return false;
  for (const client of clients) client.stop();
  operator?.stop();
  landlord?.stop();
  administrator.stop();
  repairs.stop();
  nemesis.end();
  wire.isFaulty = false;
  if (!(await serves(stack))) return false;
  stack.watch.assertNoticed();
  return (await usable(stack)) && forgets(stack);
}

/** Waits until every node is ready, no replica is out, and no call of the clients is open. */
async function serves(stack: Stack): Promise<boolean> {
  const { world, findings } = stack;
  const endMs = world.nowMs + RECOVERY_LIMIT_MS;
  let missing = 'nobody was asked';
  while (world.nowMs < endMs && findings.first === undefined) {
    await stack.reaches(POLL_MS, () => false);
    missing = await missingFrom(stack);
    if (missing === '') return true;
  }
  findings.report('liveness', `after ${RECOVERY_LIMIT_MS} ms: ${missing}`);
  return false;
}

/** What keeps the cluster from being whole; empty when nothing does. */
async function missingFrom(stack: Stack): Promise<string> {
  if (stack.administrator.isBusy) return 'a machine waits for its readmission';
  if (stack.wire.open > 0) return `${stack.wire.open} calls are open`;
  const status = await statusOf(stack);
  if (status === undefined) return 'no status';
  stack.repairs.attend(status);
  for (const machine of stack.machines) {
    const readiness = stack.endpointsOf(machine)?.readiness();
    if (readiness?.ready !== true) {
      return `node ${machine.nodeId}: ${readiness?.missing.join(', ') ?? 'it does not listen'}`;
    }
  }
  for (const shard of [status.topology, ...status.shards]) {
    const out = shard.replicas.find(({ state, fault }) => state === 'unreachable' || fault !== '');
    if (out !== undefined) {
      return `shard ${shard.shardId} on node ${out.nodeId}: ${out.state} ${out.fault}`;
    }
    if (shard.change !== undefined) return `shard ${shard.shardId}: ${shard.change.stage}`;
    if (shard.leaderNodeId === 0) return `shard ${shard.shardId} has no leader`;
    const applied = shard.replicas.map(({ appliedIndex }) => appliedIndex);
    if (new Set(applied).size > 1) return `shard ${shard.shardId} is applied to ${applied}`;
  }
  return '';
}

async function statusOf(stack: Stack): Promise<ClusterStatus | undefined> {
  const [first] = stack.processes;
  if (first === undefined) return undefined;
  return stack.answerOf(first, STATUS_TIMEOUT_MS, ({ admin }, options) => admin.status(options));
}

/** More than the way to a leader and back, and than any engine's answer takes. */
const EASY_BOUND_MS = 3_000;
/** Keys that are written once more, at most. */
const SAMPLE = 10;

/** Every record that was acknowledged is read back, then every key is written and read. */
async function usable(stack: Stack): Promise<boolean> {
  const { oracle, findings, landlord } = stack;
  const { workload } = stack.parameters;
  const lasting = { ...workload.expiring, share: 0 };
  const patient = { ...workload, ...PATIENCE, expiring: lasting, relaxed: 0, partial: 0 };
  const client = stack.client('inspector', patient);
  const relaxed = { ...patient, relaxed: 1, boundsMs: [EASY_BOUND_MS] };
  const relaxedClient = stack.client('relaxed inspector', relaxed);
  const { keys } = oracle;
  const sample = keys.filter((_, at) => at % Math.ceil(keys.length / SAMPLE) === 0);
  const work = async (): Promise<void> => {
    const refused = (await landlord?.lastChange()) ?? '';
    if (refused !== '') findings.report('liveness', `no tenant can be assigned: ${refused}`);
    for (const batch of batchesOf(keys)) await client.fetch(batch);
    await client.search();
    for (const key of sample) await client.write('upsert', [key]);
    for (const key of sample) await client.fetch([key]);
    for (const key of sample) await relaxedClient.fetch([key]);
  };
  let isOver = false;
  void work().finally(() => {
    isOver = true;
  });
  if (!(await stack.reaches(CALM_LIMIT_MS, () => isOver))) {
    findings.report('liveness', `the healed cluster serves too slowly: ${CALM_LIMIT_MS} ms`);
    return false;
  }
  const failed = client.counts.failed + relaxedClient.counts.failed;
  const { unknown } = client.counts;
  if (failed + unknown > 0) {
    findings.report('liveness', `a healed cluster refuses: ${failed} failed, ${unknown} unknown`);
  }
  return findings.first === undefined;
}

/** One by one, those of a tenant together. */
function batchesOf(keys: readonly string[]): string[][] {
  const batches = new Map<string, string[]>();
  for (const key of keys) {
    const { collection, tenant } = spaceOf(key);
    const name = spaceOf(key) === HOME ? key : `${collection}/${tenant}`;
    batches.set(name, [...(batches.get(name) ?? []), key]);
  }
  return [...batches.values()];
}

/** What has expired is deleted, where the clocks are right again. */
async function forgets(stack: Stack): Promise<boolean> {
  if (await stack.reaches(CALM_LIMIT_MS, () => overdueRecords(stack) === '')) return true;
  stack.findings.report('what expires goes', overdueRecords(stack));
  return false;
}

/**
 * Replicas of a shard at the same applied index store the same, byte for byte, and what they say of
 * their contents is what their log says.
 */
export async function sameReplicas(stack: Stack): Promise<void> {
  const { findings, world } = stack;
  const endMs = world.nowMs + CALM_LIMIT_MS;
  let difference = '';
  while (world.nowMs < endMs && findings.first === undefined) {
    difference = (await verified(stack)) || (await missingFrom(stack));
    // The last entries, those of the verification, may still be on their way to the stores (A3).
    await stack.reaches(POLL_MS, () => false);
    if (difference === '') difference = await differenceBetween(stack);
    if (difference === '') return;
  }
  findings.report('replicas are equal', difference);
}

async function differenceBetween(stack: Stack): Promise<string> {
  const status = await statusOf(stack);
  for (const { shardId, replicas } of status?.shards ?? []) {
    const nodesByContent = new Map<string, number>();
    for (const { nodeId, replicaId } of replicas) {
      const machine = stack.machines.find((one) => one.nodeId === nodeId);
      const content = await contentOf(machine, shardId, replicaId);
      if (content === undefined) return `shard ${shardId} has no store on node ${nodeId}`;
      nodesByContent.set(content, nodeId);
    }
    if (nodesByContent.size > 1) {
      return `shard ${shardId} differs between nodes ${[...nodesByContent.values()].join(', ')}`;
    }
  }
  return status === undefined ? 'no status' : '';
}

/** All that a replica stores, in one line an entry; undefined where it is not open. */
async function contentOf(
  machine: Machine | undefined,
  shardId: number,
  replicaId: number,
): Promise<string | undefined> {
  const names = [`data/shards/${shardId}.${replicaId}`, `data/shards/${shardId}`];
  const isOfReplica = (path: string): boolean =>
    names.some((name) => path === name || path.startsWith(`${name}/`));
  const paths = machine?.disk.openDatabases.filter(isOfReplica) ?? [];
  const [path] = paths;
  // While a snapshot is being installed there are two.
  if (machine === undefined || path === undefined || paths.length > 1) return undefined;
  const lines: string[] = [];
  const content = machine.disk.content.kv(path);
  for await (const page of content.scan({ gte: new Uint8Array(0), lt: KEYS_MAX })) {
    for (const { key, value } of page) {
      lines.push(`${Buffer.from(key).toString('hex')} ${crc32c(value)}`);
    }
  }
  return lines.join('\n');
}
