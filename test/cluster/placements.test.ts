// Goal: a collection has the placement that it names, through SDK and command line alike (M-9).
// Method: one of each in a cluster of this process, written and read in both ways.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, type Flotilla, type NewCollection } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PLACEMENT_NAMES } from '../../src/shared/types.js';
import { type CommandRun, runCommand } from '../unit/cli/run-command.js';
import { FAST, recordsFrom } from './harness.js';

let cluster: Cluster;
let client: Flotilla;
let folder: string;

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 3 });
  client = cluster.client();
  folder = await mkdtemp(join(tmpdir(), 'flotilla-placements-'));
});

afterAll(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true });
});

/** A command line whose words have no spaces. */
function run(line: string): Promise<CommandRun> {
  return runCommand(line.split(' '), { connect: async () => cluster.client() });
}

async function succeed(line: string): Promise<string> {
  const { code, out, err } = await run(line);
  expect([line, code, err.match(/error/)]).toEqual([line, 0, null]);
  return out;
}

const linesOf = (out: string): Record<string, unknown>[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The shards that a read has asked. */
async function shardsOf(
  read: (onServed: (served: readonly { readonly shardId: number }[]) => void) => Promise<unknown>,
): Promise<number[]> {
  const shardIds: number[] = [];
  await read((served) => shardIds.push(...served.map(({ shardId }) => shardId)));
  return shardIds.sort((a, b) => a - b);
}

const SPLIT_POINTS = ['row-2', 'row-4'];
const PLACED = PLACEMENT_NAMES.flatMap((placement) =>
  (['id', 'shardKey'] as const).map((routing) => ({ placement, routing })),
);

describe.each(PLACED)('a collection with $placement by $routing', ({ placement, routing }) => {
  const more = placement === 'range' ? { splitPoints: SPLIT_POINTS } : {};
  const settings = { dimension: 4, metric: 'l2', placement, routing, ...more } as const;
  const keyOf = (row: number): { readonly shardKey?: string } =>
    routing === 'shardKey' ? { shardKey: `row-${row % 9}` } : {};
  const records = recordsFrom(0, 60).map((record, row) => ({ ...record, ...keyOf(row) }));

  it('is made by the SDK, has its records on all shards, and finds each of them', async () => {
    const name = `sdk-${placement}-${routing}`;
    await client.createCollection({ name, ...settings } satisfies NewCollection);
    const items = client.collection<{ row: number }>(name);
    await items.upsert(records);
    const held = await shardsOf((onServed) => items.fetch(records, { onServed }));
    expect([...new Set(held)]).toEqual([0, 1, 2]);
    const found = await items.fetch(records.map(({ id }, row) => ({ id, ...keyOf(row) })));
    expect(found.map(({ metadata }) => metadata?.row)).toEqual(records.map((_, row) => row));
    expect(await items.count()).toBe(60);
    const { hits } = await items.search({ vector: [7, 0, 7, 1], k: 1 });
    expect(hits[0]).toMatchObject({ id: 'row-7', ...keyOf(7) });
    const { config } = await client.describeCollection(name);
    expect([config.placement ?? 'ring', config.routing ?? 'id']).toEqual([placement, routing]);
  });

  it('is made by the command line, which writes, reads and deletes by the same names', async () => {
    const name = `cli-${placement}-${routing}`;
    const points = more.splitPoints?.map((point) => ` --split-point ${point}`).join('') ?? '';
    await succeed(
      `collection create ${name} --dimension 4 --metric l2 --placement ${placement} ` +
        `--routing ${routing}${points}`,
    );
    expect(await succeed(`collection describe ${name}`)).toMatch(
      new RegExp(`routing +${routing}\\nplacement +${placement}\\n`),
    );
    const file = join(folder, `${name}.jsonl`);
    const lines = recordsFrom(0, 30).map(({ id, values }, row) =>
      JSON.stringify({ id, values, metadata: { row, group: `row-${row % 9}` } }),
    );
    await writeFile(file, lines.join('\n'));
    const field = routing === 'shardKey' ? ' --shard-key-field group' : '';
    await succeed(`import ${file} --collection ${name}${field}`);
    expect(await succeed(`count ${name}`)).toBe('30\n');

    const key = routing === 'shardKey' ? ' --shard-key row-7' : '';
    expect(linesOf(await succeed(`fetch ${name} --id row-7${key} --json`))).toMatchObject([
      { id: 'row-7', metadata: { row: 7 }, ...keyOf(7) },
    ]);
    await succeed(`patch ${name} --id row-7${key} --metadata {"seen":true}`);
    const near = JSON.parse(await succeed(`search ${name} --id row-7${key} --k 1 --json`));
    expect(near.hits).toMatchObject([{ id: 'row-7', metadata: { row: 7, seen: true } }]);
    expect(await succeed(`delete ${name} --id row-7${key}`)).toBe('deleted 1 records\n');

    // What is listed can be read in again as it is, shard keys with it.
    const listed = await succeed(`scroll ${name} --all --values --json`);
    const copy = join(folder, `${name}-copy.jsonl`);
    await writeFile(copy, listed);
    await succeed(`delete ${name} --filter {}`);
    await succeed(`import ${copy} --collection ${name}`);
    const again = linesOf(await succeed(`scroll ${name} --all --values --json`));
    const plain = ({ version: _, ...record }: Record<string, unknown>) => record;
    expect(again.map(plain)).toEqual(linesOf(listed).map(plain));
  });
});

describe('an entity group', () => {
  it('is on one shard, whatever its records are called (M-19)', async () => {
    await client.createCollection({ name: 'orders', dimension: 4, routing: 'shardKey' });
    const orders = client.collection('orders');
    const groups = Array.from({ length: 12 }, (_, at) => `order-${at}`);
    const homes = await Promise.all(
      groups.map(async (shardKey) => {
        const lines = recordsFrom(1, 8).map((record) => ({ ...record, shardKey }));
        await orders.upsert(lines);
        return shardsOf((onServed) => orders.fetch(lines, { onServed }));
      }),
    );
    for (const shardIds of homes) expect(shardIds).toHaveLength(1);
    expect(new Set(homes.flat()).size).toBe(3);
  });
});

describe('a collection by tenant', () => {
  it('takes an import for a tenant, and lists all tenants by name only (M-20, M-21)', async () => {
    await succeed('collection create notes --dimension 4 --metric l2 --routing tenant');
    const file = join(folder, 'notes.jsonl');
    const lines = recordsFrom(0, 10).map(({ id, values }) => JSON.stringify({ id, values }));
    await writeFile(file, lines.join('\n'));
    for (const tenant of ['acme', 'beta']) {
      await succeed(`import ${file} --collection notes --tenant ${tenant}`);
      expect(await succeed(`count notes --tenant ${tenant}`)).toBe('10\n');
    }
    expect(await run('count notes')).toMatchObject({ code: 1 });
    expect(await run(`import ${file} --collection notes`)).toMatchObject({ code: 1 });
    expect(await succeed('count notes --all-tenants')).toBe('20\n');

    const all = await succeed('scroll notes --all-tenants --all --values --json');
    const copy = join(folder, 'all-notes.jsonl');
    await writeFile(copy, all);
    for (const tenant of ['acme', 'beta']) {
      await succeed(`delete notes --filter {} --tenant ${tenant}`);
    }
    await succeed(`import ${copy} --collection notes`);
    expect(await succeed('count notes --tenant acme')).toBe('10\n');
    const { counts } = await client.countTenants('notes');
    expect(counts.map(({ tenant, records }) => [tenant, records])).toEqual([
      ['acme', 10],
      ['beta', 10],
    ]);
  });

  it('gives a big tenant a shard of its own, and has it in the audit (M-18, M-19)', async () => {
    const { shards } = await client.describeTenants();
    const free = shards.find(({ tenants }) => tenants === 0)?.shardId;
    await succeed(`tenant dedicate --shard ${free} --by ops`);
    await succeed(`tenant assign big --shard ${free} --by ops`);
    const file = join(folder, 'big.jsonl');
    const lines = recordsFrom(0, 20).map(({ id, values }) => JSON.stringify({ id, values }));
    await writeFile(file, lines.join('\n'));
    for (const tenant of ['big', ...Array.from({ length: 12 }, (_, at) => `small-${at}`)]) {
      await succeed(`import ${file} --collection notes --tenant ${tenant}`);
    }
    const { counts } = await client.countTenants('notes', { limit: 100 });
    const there = counts.filter(({ shardId }) => shardId === free);
    expect(there).toEqual([{ tenant: 'big', shardId: free, records: 20 }]);
    const big = client.collection('notes', { tenant: 'big' });
    const query = { vector: [1, 1, 1, 1], k: 1 };
    expect(await shardsOf((onServed) => big.search(query, { onServed }))).toEqual([free]);

    expect(await succeed('tenant stats')).toMatch(
      new RegExp(`^ +${free} +1 +20 +1 {2}dedicated$`, 'm'),
    );
    const refused = await run(`tenant assign acme --shard ${free}`);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('TENANT_HAS_DATA') });
    const audit = JSON.parse(await succeed('tenant audit --json'));
    expect(audit).toMatchObject([
      { action: 'dedicateShard', shardId: free, by: 'ops', refused: '' },
      { action: 'assignTenant', tenant: 'big', shardId: free, by: 'ops', refused: '' },
      { action: 'assignTenant', tenant: 'acme', refused: 'TENANT_HAS_DATA' },
    ]);
  });
});
