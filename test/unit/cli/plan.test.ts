// Goal: `flotilla plan` takes what people write, tells all that a plan holds, and asks no cluster.
// Method: runCli without a cluster; its text and JSON; each wrong argument; its page.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { reasonsOf, warningText } from '../../../src/cli/render/plan.js';
import { CAPACITY_DEFAULTS } from '../../../src/placement/capacity-input.js';
import { planCapacity } from '../../../src/placement/capacity-plan.js';
import type { CapacityWarning } from '../../../src/placement/capacity-warnings.js';
import { type CommandRun, runCommand } from './run-command.js';

const run = (args: string): Promise<CommandRun> => runCommand(args.split(' '));

describe('flotilla plan (M-17)', () => {
  it('shows shards and nodes, what takes memory and disk, and why', async () => {
    const { code, out, err } = await run('plan --vectors 9M --dimension 128 --shard-vectors 3M');
    expect([code, err]).toEqual([0, '']);
    const lines = out.split('\n');
    expect(lines[0]).toBe(
      '4 shards x 3 replicas on 3 nodes of 32.0 GiB memory and 1.0 TiB disk, ' +
        'for 9,000,000 vectors of 128 dimensions',
    );
    expect(out).toMatch(/^MEMORY +A RECORD +LARGEST SHARD +FULLEST NODE +ALL NODES$/m);
    expect(out).toMatch(/^graph +793 B +1\.8 GiB +6\.6 GiB +19\.9 GiB$/m);
    expect(out).toMatch(/^at all times: \d\d\.\d\d % of a node +1,767 B /m);
    expect(out).toMatch(/^\+ while a checkpoint is written +886 B /m);
    expect(out).toContain('  - 3 nodes: as many as a shard has replicas, and enough for all\n');
    expect(out).toContain('\nWARNINGS\n  - the largest shard has 2,4');
  });

  it('shows no warnings where there are none', async () => {
    const { out } = await run('plan --vectors 2M --dimension 128');
    expect(out).not.toContain('WARNINGS');
  });

  it('tells scripts all of it as JSON', async () => {
    const { code, out } = await run(
      'plan --vectors 50M --dimension 768 --rf 3 --tenants 4000 --json',
    );
    const told = JSON.parse(out);
    expect(code).toBe(0);
    const plan = planCapacity({
      ...CAPACITY_DEFAULTS,
      vectors: 50_000_000,
      dimension: 768,
      tenants: 4_000,
    });
    expect(told).toMatchObject(JSON.parse(JSON.stringify(plan)));
    expect(told.warnings).toEqual([
      { code: 'nodes', value: plan.nodes.count, limit: 48, message: expect.any(String) },
      { code: 'tenants', value: 4_000 / plan.shards.count, limit: 18, message: expect.any(String) },
    ]);
    expect(told.alternatives.map(({ kind }: { kind: string }) => kind)).toEqual([
      'without-copy',
      'larger-nodes',
    ]);
    expect(told.reasons).toContainEqual(expect.stringContaining('24 tenants'));
  });

  it('takes every option into account', async () => {
    const planned = async (more: string) => {
      const { out } = await run(`plan --vectors 1.5M --dimension 768 --json ${more}`.trim());
      return JSON.parse(out);
    };
    const plain = await planned('');
    expect(plain.input).toEqual({ ...CAPACITY_DEFAULTS, vectors: 1_500_000, dimension: 768 });
    const options: [string, object][] = [
      ['--rf 5', { replicationFactor: 5 }],
      ['--metadata-bytes 0', { metadataBytes: 0 }],
      ['--id-bytes 12', { idBytes: 12 }],
      ['--indexed-fields 0', { indexedFields: 0 }],
      ['--m 32', { m: 32 }],
      ['--exact-copy=false', { exactCopy: false }],
      ['--exact-copy true', { exactCopy: true }],
      ['--node-memory 64GiB', { nodeMemoryBytes: 64 * 1024 ** 3 }],
      ['--node-disk 512GiB', { nodeDiskBytes: 512 * 1024 ** 3 }],
      ['--growth 1.5', { growth: 1.5 }],
      ['--shard-vectors 2M', { shardVectorsMax: 2_000_000 }],
      ['--strategy modulo', { strategy: 'modulo' }],
      ['--tenants 2k', { tenants: 2_000 }],
      ['--shards 12', { shards: 12 }],
      ['--nodes 7', { nodes: 7 }],
    ];
    for (const [option, changed] of options) {
      expect((await planned(option)).input, option).toEqual({ ...plain.input, ...changed });
    }
  });

  it.each([
    ['', "required option '--dimension <floats>' not specified"],
    ['--dimension 0', 'whole number from 1 to 4096'],
    ['--dimension 768 --vectors 50G', 'such as 20000, 300k, 50M or 1.5B'],
    ['--dimension 768 --node-memory 32GB', 'in KiB, MiB, GiB or TiB (powers of 1,024)'],
    ['--dimension 768 --exact-copy maybe', 'Allowed choices are true, false'],
    ['--dimension 768 --growth much', 'It must be a number'],
    ['--dimension 768 --growth 0.5', 'It must be a number from 1 to 1000'],
    ['--dimension 768 --strategy tenants', 'Allowed choices are ring, modulo'],
    ['--dimension 768 --m 1', 'whole number from 2 to 128'],
    ['--dimension 768 surplus', 'too many arguments'],
  ])('refuses "%s" with exit code 2, saying what was expected', async (args, message) => {
    const { code, out, err } = await run(`plan --vectors 1M ${args}`.trim());
    expect(err).toContain(message);
    expect([code, out]).toEqual([2, '']);
  });

  it('has help with an example and the exit codes', async () => {
    const { code, out } = await run('plan --help');
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n {2}flotilla plan --vectors 50M --dimension 768 --rf 3\n/);
    expect(out).toContain('3  the cluster cannot be reached or is not healthy');
  });

  it('has each of its options in docs/capacity.md, and no others', async () => {
    const page = readFileSync(new URL('../../../docs/capacity.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `(--[\w-]+)`/gm)].map(([, flag]) => flag);
    const { out } = await run('plan --help');
    const flags = [...out.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, flag]) => flag);
    expect(documented.sort()).toEqual(flags.filter((flag) => flag !== '--json').sort());
  });
});

describe('the words of a plan', () => {
  it('have a sentence for each warning', () => {
    const codes: CapacityWarning['code'][] = [
      'shards',
      'slots',
      'shard-vectors',
      'graph-records',
      'uneven-shards',
      'tenants',
      'nodes',
      'replication',
      'memory',
      'memory-peak',
      'disk',
      'disk-peak',
      'single-replica',
    ];
    const sentences = codes.map((code) =>
      warningText(code === 'single-replica' ? { code } : { code, value: 0.75, limit: 0.5 }),
    );
    expect(new Set(sentences).size).toBe(codes.length);
    expect(sentences.join()).not.toMatch(/undefined|NaN/);
  });

  it('count one of a thing as one', () => {
    const plan = planCapacity({
      ...CAPACITY_DEFAULTS,
      vectors: 1,
      dimension: 1,
      replicationFactor: 1,
    });
    const reasons = reasonsOf(plan, []);
    expect(reasons.join('\n')).toContain(
      'no node has more than 1 replica, or more than 1 record\n',
    );
    expect(reasons.join('\n')).not.toMatch(/\b1 \w+s\b/);
  });
});
