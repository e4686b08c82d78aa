/**
 * Goal: what the cluster says of its own replicas is so. Method: every node is asked to compare
 * them, stored records included, and each replica is held against the log of its shard.
 */
import type { VerifyResponse } from '../../../src/shared/codec/verify-messages.js';
import type { Stack } from './stack.js';

const VERIFY_TIMEOUT_MS = 8_000;
/** A leader looks every second for what has expired, and clocks are seconds apart. */
const EXPIRY_SLACK_MS = 10_000;

/**
 * Why replicas could not be compared, so that it has to be tried again; empty where they could.
 * That they differ is reported.
 */
export async function verified(stack: Stack): Promise<string> {
  for (const process of stack.processes) {
    const answer = await stack.answerOf(process, VERIFY_TIMEOUT_MS, ({ admin }, options) =>
      admin.verify({ deep: true }, options),
    );
    if (answer === undefined) return `node ${process.nodeId} verifies nothing`;
    const problem = judged(stack, answer);
    if (problem !== '') return problem;
  }
  await stack.shards.checkAll();
  return '';
}

/** Records whose time was over long ago; empty where there are none. */
export function overdueRecords(stack: Stack): string {
  const walls = stack.processes.map(({ environment }) => environment.clock.wallMs());
  const dueMs = Math.min(...walls) - EXPIRY_SLACK_MS;
  for (const replay of stack.shards.replays) {
    for (const records of replay.latest.collections.values()) {
      for (const { id, expiresAtMs = Number.POSITIVE_INFINITY } of records.values()) {
        if (expiresAtMs < dueMs) return `${id} expired at ${expiresAtMs}, it is ${dueMs}`;
      }
    }
  }
  return '';
}

function judged({ findings, parameters }: Stack, { shards }: VerifyResponse): string {
  for (const { shardId, problem, replicas, differences, damages } of shards) {
    const wrong = differences[0] ?? damages[0];
    if (wrong !== undefined) {
      findings.report('replicas verify', `shard ${shardId}: ${JSON.stringify(wrong)}`);
    }
    const problems = [problem, ...replicas.map((replica) => replica.problem)];
    const first = problems.find((one) => one !== '');
    if (first !== undefined) return `shard ${shardId} is not verified: ${first}`;
  }
  const { settings } = parameters;
  return shards.length === settings.shards ? '' : `${shards.length} shards are verified`;
}
