// Goal: `ring simulate` shows what the strategies do, as a table, as JSON and as a picture.
// Method: runCli, the numbers of the mission, and a strict reader of the SVG that is written.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderRingDrawing } from '../../../src/cli/render/ring-drawing.js';
import { SIMULATED_STRATEGIES, simulateRing } from '../../../src/cli/ring-report.js';
import { type CommandRun, runCommand } from './run-command.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-ring-'));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (args: string): Promise<CommandRun> =>
  runCommand(`ring simulate ${args}`.trim().split(' '));

interface Found {
  readonly strategy: string;
  readonly movedKeys: number;
  readonly movedShare: number;
  readonly needlessKeys: number;
  readonly before: { readonly shards: readonly { readonly shardId: number; keys: number }[] };
  readonly after: Found['before'];
}

async function sharesOf(args: string): Promise<Map<string, number>> {
  const { out } = await run(`${args} --json`);
  const { strategies } = JSON.parse(out) as { strategies: Found[] };
  return new Map(strategies.map(({ strategy, movedShare }) => [strategy, movedShare]));
}

/** Names of the elements of well-formed XML, in the order of their start; throws for any other. */
function elementsOf(xml: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const token = /<(\/?)(\w+)((?: [\w:-]+="[^"<&]*")*)(\/?)>|([^<&]|&(?:amp|lt|gt|quot|#\d+);)+/gy;
  let at = 0;
  for (let match = token.exec(xml); match !== null; match = token.exec(xml)) {
    at = token.lastIndex;
    const [, closing, name, attributes = '', empty] = match;
    if (name === undefined) continue;
    const keys = [...attributes.matchAll(/ ([\w:-]+)=/g)].map(([, key]) => key);
    if (new Set(keys).size !== keys.length) throw new Error(`an attribute twice in ${match[0]}`);
    if (closing === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes another element`);
    } else {
      names.push(name);
      if (empty === '') open.push(name);
    }
    if (open.length === 0 && xml.slice(at).trim() === '') return names;
  }
  throw new Error(`not XML from ${JSON.stringify(xml.slice(at, at + 40))} on`);
}

describe('ring simulate', () => {
  it('has help with examples and the exit codes', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n {2}flotilla ring simulate/);
    expect(out).toContain('2  wrong arguments or configuration');
  });

  it('moves near 75 % by modulo and near 25 % by all others, for 3 -> 4 (M-10)', async () => {
    const shares = await sharesOf('--nodes 3 --add 1 --keys 1000');
    expect([...shares.keys()]).toEqual([...SIMULATED_STRATEGIES]);
    expect(shares.get('modulo')).toBeCloseTo(0.75, 1);
    for (const name of ['ring', 'rendezvous', 'virtual-shards', 'range']) {
      expect(shares.get(name), name).toBeGreaterThan(0.2);
      expect(shares.get(name), name).toBeLessThan(0.3);
    }
  });

  it('prints a line for each strategy, in the order that was asked for', async () => {
    const { code, out, err } = await run('--strategy modulo,ring --keys 2000');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const [heading, , titles, modulo, ring] = out.split('\n');
    expect(heading).toBe(
      '3 -> 4 shards (1 join, 0 leave), 2,000 keys, of which 25.00 % have to move',
    );
    expect(titles).toMatch(/^STRATEGY +UNIT +UNITS MOVED +KEYS MOVED +SHARE +NEEDLESS +MAX\/MEAN/);
    expect(modulo).toMatch(/^modulo +slot +766 of 1,024 +1,\d{3} +7\d\.\d\d % +[\d,]+ +1\.0\d ->/);
    expect(ring).toMatch(/^ring +slot +245 of 1,024 +\d{3} +2\d\.\d\d % +0 +1\.\d\d -> 1\.\d\d +/);
  });

  it('lets shards leave, and join and leave at once', async () => {
    const leaving = JSON.parse((await run('--nodes 5 --remove 2 --json')).out);
    expect(leaving).toMatchObject({ shards: 5, added: 0, removed: 2, idealShare: 0.4 });
    const [ring] = leaving.strategies as Found[];
    expect(ring?.after.shards.map(({ shardId }) => shardId)).toEqual([0, 1, 2]);
    const both = JSON.parse((await run('--nodes 3 --add 2 --remove 1 --json')).out);
    expect(both).toMatchObject({ added: 2, removed: 1, idealShare: 0.5 });
    const [replaced] = both.strategies as Found[];
    expect(replaced?.after.shards.map(({ shardId }) => shardId)).toEqual([0, 1, 3, 4]);
    const all = JSON.parse((await run('--nodes 1 --add 1 --remove 1 --json')).out);
    for (const { movedShare, needlessKeys } of all.strategies as Found[]) {
      expect({ movedShare, needlessKeys }).toEqual({ movedShare: 1, needlessKeys: 0 });
    }
  });

  it('accounts for every key before and after', async () => {
    const { strategies } = JSON.parse((await run('--keys 777 --json')).out) as {
      strategies: Found[];
    };
    for (const { before, after } of strategies) {
      for (const { shards } of [before, after]) {
        expect(shards.reduce((sum, { keys }) => sum + keys, 0)).toBe(777);
      }
    }
  });

  it('gives the same numbers for a seed, and others for another', async () => {
    const [once, again, other] = [
      await run('--seed 7'),
      await run('--seed 7'),
      await run('--seed 8'),
    ];
    expect(again.out).toBe(once.out);
    expect(other.out).not.toBe(once.out);
  });

  it('spreads more evenly with more virtual nodes (M-8)', async () => {
    const deviation = async (points: number): Promise<number> => {
      const options = `--strategy ring --keys 50000 --nodes 8 --virtual-nodes ${points} --json`;
      return JSON.parse((await run(options)).out).strategies[0].before.deviation;
    };
    expect(await deviation(4)).toBeGreaterThan(2 * (await deviation(200)));
  });

  it.each([
    '--strategy ring,nonsense',
    '--strategy ring,ring',
    '--strategy tenant-directory',
    '--nodes 0',
    '--nodes 257',
    '--nodes 200 --add 57',
    '--remove 3',
    '--remove 4',
    '--keys 0',
    '--keys 1000001',
    '--virtual-nodes 0',
    '--seed -1',
    '--add one',
  ])('refuses %s with exit code 2', async (args) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/error: /);
  });

  it('takes as many shards as a cluster may have', async () => {
    expect((await run('--nodes 200 --add 56 --keys 10')).code).toBe(0);
    expect((await run('--nodes 256 --remove 255 --keys 1')).code).toBe(0);
  });

  it('fails with exit code 1 where the picture cannot be written', async () => {
    const { code, out, err } = await run(`--svg ${join(folder, 'none', 'ring.svg')}`);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('ENOENT');
  });
});

describe('the picture of a ring', () => {
  const question = { shards: 3, added: 1, removed: 0, keys: 500, seed: 1, virtualNodes: 100 };
  const drawn = (changes: Partial<Parameters<typeof simulateRing>[0]>): string =>
    renderRingDrawing(simulateRing({ strategies: SIMULATED_STRATEGIES, ...question, ...changes }));

  it('is written next to the table, and is well-formed', async () => {
    const path = join(folder, 'ring.svg');
    const { code, out } = await run(`--strategy ring,modulo --svg ${path}`);
    expect(code).toBe(0);
    expect(out).toContain('modulo');
    const names = elementsOf(await readFile(path, 'utf8'));
    expect(names[0]).toBe('svg');
    // Two strategies: 3 owners before and 4 after, and a band around each circle.
    expect(names.filter((name) => name === 'path')).toHaveLength(2 * (3 + 1 + 4 + 1));
  });

  it('is well-formed for one shard, for many, and for a change of all', () => {
    const shapes = [
      { shards: 1, added: 0, strategies: ['range', 'ring'] as const },
      { shards: 1, added: 1, removed: 1 },
      { shards: 60, added: 40, removed: 20 },
    ];
    for (const shape of shapes) {
      const names = elementsOf(drawn(shape));
      expect(names.filter((name) => name === 'rect').length).toBeGreaterThan(shape.shards);
    }
  });

  it('closes the circle: the arcs of all owners are one turn, those that move their share', () => {
    const [owners, moved] = [[] as string[], [] as string[]];
    const svg = drawn({ strategies: ['virtual-shards'] });
    for (const [, paint = '', path = ''] of svg.matchAll(/<path ([^>]*?) d="([^"]*)"/g)) {
      (paint.startsWith('fill') ? owners : moved).push(path);
    }
    const turns = (paths: readonly string[]): number =>
      paths
        .flatMap((path) => [...path.matchAll(/M(\S+) ([^A]+)A(\S+) \S+ 0 0 1 (\S+) ([^L]+)L/g)])
        .map(([, ...numbers]) => numbers.map(Number) as [number, number, number, number, number])
        .map(([x, y, , toX, toY]) => Math.atan2(x * toY - y * toX, x * toX + y * toY))
        .reduce((sum, angle) => sum + angle, 0) /
      (2 * Math.PI);
    expect(turns(owners)).toBeCloseTo(2, 3);
    expect(turns(moved)).toBeCloseTo(2 * 0.25, 3);
  });

  it('names every shard, and which ones join and leave', () => {
    const svg = drawn({ shards: 3, added: 1, removed: 1 });
    for (const label of ['shard 0', 'shard 1', 'shard 2 (leaves)', 'shard 3 (joins)', 'moves']) {
      expect(svg).toContain(`>${label}</text>`);
    }
    const colours = [...svg.matchAll(/<rect fill="([^"]+)"/g)].map(([, colour]) => colour);
    expect(new Set(colours).size).toBe(4);
  });

  it('is in one piece, with colours for light and dark', () => {
    const svg = drawn({});
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', '')).not.toMatch(/href|url\(|http/);
    expect(svg).toContain('@media (prefers-color-scheme: dark)');
    expect(drawn({})).toBe(svg);
  });

  it('would not pass for XML if it were none', () => {
    for (const wrong of ['<a><b></a></b>', '<a x=1/>', '<a>&</a>', '<a x="1" x="2"/>', '<a>', '']) {
      expect(() => elementsOf(wrong), wrong).toThrow();
    }
  });
});
