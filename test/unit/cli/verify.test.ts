// Goal: `flotilla verify` says what differs and where, and ends with a code that scripts can test.
// Method: runCli with a client that answers with made-up comparisons.
import { describe, expect, it } from 'vitest';
import type { Flotilla, ShardVerification, VerifyOptions } from '../../../src/client/index.js';
import { type CommandRun, runCommand } from './run-command.js';

const EQUAL: ShardVerification = {
  shardId: 0,
  index: 1_200,
  problem: '',
  replicas: [1, 2, 3].map((nodeId) => ({ nodeId, problem: '' })),
  slots: 256,
  differences: [],
  damages: [],
};
const holding = (nodeId: number, records: number, digit: string) => ({
  nodeId,
  records,
  hash: digit.repeat(32),
});
const DIFFERENT: ShardVerification = {
  ...EQUAL,
  shardId: 1,
  differences: [
    {
      collection: 'docs',
      slot: 17,
      holdings: [holding(1, 5, 'a'), holding(2, 5, 'a'), holding(3, 4, 'b')],
    },
  ],
};
const DAMAGED: ShardVerification = {
  ...EQUAL,
  damages: [{ collection: 'docs', slot: 3, kept: holding(2, 5, 'a'), found: holding(2, 4, 'b') }],
};
const PARTIAL: ShardVerification = {
  ...EQUAL,
  replicas: [
    { nodeId: 1, problem: '' },
    { nodeId: 2, problem: 'no answer in time' },
  ],
};

interface Run extends CommandRun {
  readonly asked: readonly VerifyOptions[];
}

async function run(args: readonly string[], shards: readonly ShardVerification[]): Promise<Run> {
  const asked: VerifyOptions[] = [];
  const client = {
    verify: async (options: VerifyOptions) => {
      asked.push(options);
      return shards;
    },
    close: async () => undefined,
  };
  const connect = async (): Promise<Flotilla> => client as Partial<Flotilla> as Flotilla;
  return { ...(await runCommand(['verify', ...args], { connect })), asked };
}

describe('flotilla verify', () => {
  it('ends with 0 where all replicas are equal', async () => {
    const { code, out, asked } = await run([], [EQUAL]);
    expect(code).toBe(0);
    expect(out).toContain('3 of 3');
    expect(out.trimEnd().endsWith('equal')).toBe(true);
    expect(asked).toEqual([{ deep: false, timeoutMs: 10_000 }]);
  });

  it('ends with 1 where they differ, naming shard, collection, slot and nodes', async () => {
    const { code, out } = await run([], [EQUAL, DIFFERENT, PARTIAL]);
    expect(code).toBe(1);
    expect(out).toContain(
      'shard 1, collection docs, slot 17: node 1 holds 5 records (aaaaaaaaaaaa), ' +
        'node 2 holds 5 records (aaaaaaaaaaaa), node 3 holds 4 records (bbbbbbbbbbbb)',
    );
    expect(out).toContain('shard 0 on node 2: no answer in time');
  });

  it('ends with 1 where a replica has stored something else than was written', async () => {
    const { code, out, asked } = await run(['--deep', '--collection', 'docs'], [DAMAGED]);
    expect(code).toBe(1);
    expect(out).toContain('shard 0, collection docs, slot 3, node 2: should hold 5 records');
    expect(asked).toEqual([{ deep: true, collection: 'docs', timeoutMs: 10_000 }]);
  });

  it('ends with 3 where not all could be compared', async () => {
    expect((await run([], [PARTIAL])).code).toBe(3);
    const lost = { ...EQUAL, index: 0, problem: 'it has no leader', replicas: [] };
    const { code, out } = await run([], [lost]);
    expect(code).toBe(3);
    expect(out).toContain('shard 0 was not compared: it has no leader');
    expect(out).toContain('raise --timeout-ms');
  });

  it('prints all of it for scripts', async () => {
    const { code, out } = await run(['--json'], [DIFFERENT, PARTIAL]);
    expect(code).toBe(1);
    const printed = JSON.parse(out) as { shards: unknown; findings: unknown[]; gaps: unknown[] };
    expect(printed.shards).toEqual([DIFFERENT, PARTIAL]);
    expect([printed.findings.length, printed.gaps.length]).toEqual([1, 1]);
  });
});
