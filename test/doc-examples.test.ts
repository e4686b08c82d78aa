// Goal: what doc comments and docs/sdk.md show compiles for a user of the package, and runs.
// Method: take every block out, check all types at once, and run each beside an embedded cluster.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Cluster, type Collection, type Flotilla } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

/** Inside the repository, so that `flotilla` resolves as it does for a user of the package. */
const FOLDER = resolve('dist-doc-examples');
const TSC = resolve('node_modules/typescript/bin/tsc');

/** What a block may use without saying where it is from. */
const PRELUDE = `import { Cluster, Flotilla, type Where } from 'flotilla';

export async function run({ flotilla, notes }) {
`;

interface Block {
  readonly name: string;
  readonly text: string;
}

function sourcesOf(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`);
}

/** The indented lines after each `@example`. */
function commentBlocks(path: string): Block[] {
  const found = readFileSync(path, 'utf8').matchAll(/^ *\* @example\n((?: *\* {5,}.*\n)+)/gm);
  return [...found].map(([, lines = ''], at) => ({
    name: `${path.replaceAll(/\W/g, '-')}-${at + 1}`,
    text: lines.replaceAll(/^ *\* {5}/gm, ''),
  }));
}

function pageBlocks(path: string): Block[] {
  const found = readFileSync(path, 'utf8').matchAll(/```ts\n(.*?)```/gs);
  return [...found].map(([, text = ''], at) => ({
    name: `${path.replaceAll(/\W/g, '-')}-${at + 1}`,
    text,
  }));
}

const blocks = [
  ...[...sourcesOf('src/client'), ...sourcesOf('src/cluster')].flatMap(commentBlocks),
  ...pageBlocks('docs/sdk.md'),
];

/** Imports go to the top, the rest into a block of its own: it may name its things as it likes. */
function moduleOf({ text }: Block): string {
  const isImport = (line: string): boolean => line.startsWith('import ');
  const lines = text.split('\n');
  const own = lines.filter((line) => isImport(line)).join('\n');
  const named = [...own.matchAll(/[{,]\s*(\w+)/g)].map(([, name]) => name as string);
  const prelude = PRELUDE.replace(/\{ (.*) \} from/, (_, names: string) => {
    const left = names.split(', ').filter((name) => !named.includes(name));
    return `{ ${left.join(', ')} } from`;
  }).replace('{ flotilla, notes }', '{ flotilla, notes }: Scene');
  const scene = "import type { Scene } from './scene.js';";
  const body = lines.filter((line) => !isImport(line)).join('\n');
  const used = '  void [Cluster, Flotilla, flotilla, notes];';
  return [own, scene, prelude, used, '{', body, '}', '}', ''].join('\n');
}

const SCENE = `import type { Collection, Flotilla } from 'flotilla';
export interface Scene {
  readonly flotilla: Flotilla;
  readonly notes: Collection<{ title: string }>;
}
`;

interface Scene {
  readonly flotilla: Flotilla;
  readonly notes: Collection<{ title: string }>;
}

let cluster: Cluster;
let scene: Scene;

beforeAll(async () => {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  cluster = await Cluster.start();
  const flotilla = cluster.client();
  const settings = { name: 'notes', dimension: 3 };
  const notes = await flotilla.openCollection<{ title: string }>(settings);
  await notes.upsert([{ id: 'a', values: [0.1, 0.2, 0.3], metadata: { title: 'One' } }]);
  scene = { flotilla, notes };
  const [node] = cluster.addresses;
  writeFileSync(join(FOLDER, 'scene.ts'), SCENE);
  for (const block of blocks) {
    const text = moduleOf(block).replaceAll('localhost:7700', node?.client ?? '');
    writeFileSync(join(FOLDER, `${block.name}.ts`), text);
  }
  const tsconfig = {
    extends: '../tsconfig.json',
    compilerOptions: {
      noUnusedLocals: false,
      paths: { 'flotilla/client': ['../src/client/index.ts'], flotilla: ['../src/index.ts'] },
    },
    include: ['.', '../examples'],
  };
  writeFileSync(join(FOLDER, 'tsconfig.check.json'), JSON.stringify(tsconfig));
});
afterAll(async () => {
  await cluster.stop();
  rmSync(FOLDER, { recursive: true, force: true });
});

describe('examples in doc comments and docs/sdk.md', () => {
  it('are there', () => {
    expect(blocks.length).toBeGreaterThan(10);
  });

  it('and those of examples/ have types that fit', () => {
    const args = [TSC, '-p', join(FOLDER, 'tsconfig.check.json'), '--noEmit', '--pretty', 'false'];
    const output = (() => {
      try {
        return execFileSync(process.execPath, args, { encoding: 'utf8' });
      } catch (error) {
        return (error as { stdout: string }).stdout;
      }
    })();
    const faults = output.split('\n').filter((line) => /^(dist-doc-examples|examples)/.test(line));
    expect(faults).toEqual([]);
  });

  it.each(blocks.map(({ name }) => name))('run: %s', async (name) => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    try {
      const { run } = (await import(join(FOLDER, `${name}.ts`))) as {
        run: (scene: Scene) => Promise<void>;
      };
      await run(scene);
    } finally {
      log.mockRestore();
    }
  });
});
