// Goal: how long groups are without a leader when its node dies, as multiples of T.
// Method: nodes that lead many groups are killed again and again in virtual time.
import type { ToyNode } from './toy-cluster.js';
import { ELECTION_TIMEOUT_MS, ToyCluster } from './toy-cluster.js';

export interface FailoverCasesOptions {
  /** At least so many groups lose their leader. */
  readonly cases: number;
  readonly seed: number;
  /** Whether the others see that the connections to the node are reset. */
  readonly isReset: boolean;
  /** @default false */
  readonly leases?: boolean;
}

const GROUPS = 20;
/** What each fsync takes. */
const DISK_DELAY_MS = 2;
const STEP_MS = 5;

/**
 * The time from the death of each leader to the first write that its successor acknowledges, in
 * election timeouts, ascending.
 */
export async function failoverCases(options: FailoverCasesOptions): Promise<number[]> {
  const { cases, seed, isReset, leases = false } = options;
  const cluster = await ToyCluster.start({ seed, groups: GROUPS, leases });
  for (const node of cluster.nodes) node.diskDelayMs = DISK_DELAY_MS;
  const times: number[] = [];
  for (let round = 0; times.length < cases; round++) {
    const victim = cluster.nodes[round % cluster.nodes.length] as ToyNode;
    await cluster.until('all groups are led', () => allLed(cluster), 600_000);
    // A new leader has its no-op applied everywhere, and the kill comes at any moment.
    await cluster.environment.advance(
      (1 + cluster.environment.random.next()) * ELECTION_TIMEOUT_MS,
    );
    const led = groupIds().filter((groupId) => cluster.leader(groupId) === victim);
    const killedMs = cluster.environment.nowMs;
    await cluster.crash(victim.nodeId, { keepBatches: 100 });
    if (isReset) {
      await cluster.environment.advance(1);
      cluster.tellDown(victim.nodeId, 'reset');
    }
    times.push(...(await writeAgain(cluster, led, killedMs)));
    await cluster.boot(victim.nodeId);
  }
  await cluster.close();
  return times.sort((a, b) => a - b);
}

/** The smallest of the ascending values that `fraction` of them do not exceed. */
export function quantile(ascending: readonly number[], fraction: number): number {
  return ascending[Math.max(0, Math.ceil(fraction * ascending.length) - 1)] ?? Number.NaN;
}

function groupIds(): number[] {
  return Array.from({ length: GROUPS }, (_, at) => at + 1);
}

function allLed(cluster: ToyCluster): boolean {
  return groupIds().every((groupId) => cluster.leader(groupId) !== undefined);
}

/** Writes to each group until one write is acknowledged. */
async function writeAgain(
  cluster: ToyCluster,
  groups: readonly number[],
  killedMs: number,
): Promise<number[]> {
  const times = new Map<number, number>();
  const waiting = new Set<number>();
  const attempt = (groupId: number): void => {
    const leader = cluster.leader(groupId);
    if (leader === undefined || waiting.has(groupId)) return;
    waiting.add(groupId);
    leader
      .group(groupId)
      .propose(Buffer.from('again'))
      .then(({ kind }) => {
        waiting.delete(groupId);
        const nowMs = cluster.environment.nowMs;
        if (kind === 'applied') times.set(groupId, (nowMs - killedMs) / ELECTION_TIMEOUT_MS);
      });
  };
  while (times.size < groups.length) {
    for (const groupId of groups) if (!times.has(groupId)) attempt(groupId);
    await cluster.environment.advance(STEP_MS);
  }
  return [...times.values()];
}
