// Goal: who only runs clients needs no native package; nodes say which one they lack, and the cure.
// Method: a copy of the built package beside links to some of its dependencies, in child processes.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { env, execPath } from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface PackageFile {
  readonly dependencies: Readonly<Record<string, string>>;
}

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as PackageFile;

let root: string;
let temporary: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'flotilla-install-'));
  temporary = join(root, 'tmp');
  const installed = join(root, 'node_modules/flotilla');
  mkdirSync(temporary);
  mkdirSync(installed, { recursive: true });
  for (const part of ['package.json', 'dist', 'proto']) {
    cpSync(part, join(installed, part), { recursive: true });
  }
  for (const name of Object.keys(dependencies)) link(name);
});
afterAll(() => rmSync(root, { recursive: true }));

/** Where Node.js looks for a package that `flotilla` names. */
function link(name: string): void {
  const path = join(root, 'node_modules', name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(resolve('node_modules', name), path);
}

function run(...args: readonly string[]): { status: number | null; said: string } {
  const child = spawnSync(execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...env, TMPDIR: temporary },
  });
  return { status: child.status, said: `${child.stdout}${child.stderr}` };
}

function runScript(text: string): { status: number | null; said: string } {
  const path = join(root, 'script.mjs');
  writeFileSync(path, text);
  return run(path);
}

/** What an embedded cluster that does not start has to say. */
const EMBEDDED = `
  import { Cluster, isFlotillaError } from 'flotilla';
  const error = await Cluster.start({ nodes: 1, shards: 1 }).catch((thrown) => thrown);
  console.log(isFlotillaError(error), error.reason, error.code, error.message);`;

const COMMAND = 'node_modules/flotilla/dist/cli/main.js';

describe('an installation without optional packages', () => {
  it('has none with native code among those that are left', () => {
    const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as LockFile;
    const native = Object.entries(packages)
      .filter(([path]) => path !== '' && existsSync(join(path, 'binding.gyp')))
      .map(([path, { optional = false }]) => [path, optional]);
    expect(native).toEqual([
      ['node_modules/classic-level', true],
      ['node_modules/hnswlib-node', true],
    ]);
  });

  it('runs clients, and commands that are clients', () => {
    const script = `
      import { Flotilla, isFlotillaError } from 'flotilla/client';
      const flotilla = new Flotilla('127.0.0.1:1', { retry: { attemptsMax: 1 } });
      const error = await flotilla.status().catch((thrown) => thrown);
      await flotilla.close();
      console.log(isFlotillaError(error), error.reason);`;
    expect(runScript(script).said).toBe('true NODE_NOT_READY\n');
    expect(run(COMMAND, '--help')).toMatchObject({ status: 0 });
  });

  it('loads what nodes are made of, by import and by require', () => {
    const script = `
      import { createRequire } from 'node:module';
      const { Cluster } = await import('flotilla/embedded');
      console.log(typeof Cluster, typeof createRequire(import.meta.url)('flotilla').Flotilla);`;
    expect(runScript(script).said).toMatch(/^function function\n/);
  });

  it('starts no cluster, says what to install, and leaves nothing behind', () => {
    expect(runScript(EMBEDDED).said).toMatch(
      /^true NATIVE_LIBRARY_MISSING FAILED_PRECONDITION .*hnswlib-node is not installed.*--include/,
    );
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('says so too of the store that is missing beside the index library', () => {
    link('hnswlib-node');
    const { said } = runScript(EMBEDDED);
    rmSync(join(root, 'node_modules/hnswlib-node'));
    expect(said).toMatch(
      /^true NATIVE_LIBRARY_MISSING FAILED_PRECONDITION .*level is not installed.*--include/,
    );
    expect(readdirSync(temporary)).toEqual([]);
  });

  it.each([
    ['dev', '--dir'],
    ['node', '--node-id', '1', '--cluster-replication-factor', '1', '--node-dir'],
  ])('flotilla %s ends with that line, exit code 1, and no directory', (...args) => {
    const { status, said } = run(COMMAND, ...args, join(root, 'data'));
    expect(status).toBe(1);
    expect(said).toMatch(/^error: .*hnswlib-node is not installed.*\(NATIVE_LIBRARY_MISSING\)\n$/m);
    link('hnswlib-node');
    const withoutStore = run(COMMAND, ...args, join(root, 'data'));
    rmSync(join(root, 'node_modules/hnswlib-node'));
    expect(withoutStore.status).toBe(1);
    expect(withoutStore.said).toMatch(
      /^error: .*level is not installed.*\(NATIVE_LIBRARY_MISSING\)\n$/m,
    );
    expect(existsSync(join(root, 'data'))).toBe(false);
  });
});
