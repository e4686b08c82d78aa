// Goal: the package has its entries, by import and by require, and is small and quick to load.
// Method: child processes that load it by name, and counts of modules and bytes instead of times.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

/** What may be imported by users, name by name: what is added here is promised. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  'flotilla/client': ['Collection', 'Flotilla', 'FlotillaError', 'isFlotillaError'],
  'flotilla/embedded': ['Cluster'],
  flotilla: ['Cluster', 'Collection', 'Flotilla', 'FlotillaError', 'isFlotillaError'],
};

/** 66 when this was written, of which grpc-js has all but one. */
const CLIENT_PACKAGE_MODULES_MAX = 80;
/** 56 when this was written; each is a file to find and read. */
const CLIENT_OWN_MODULES_MAX = 70;
/** Without what the dependencies bring. */
const PACKAGE_BYTES_MAX = 6 * 1024 * 1024;
const DEPENDENCIES_MAX = 12;

/** Inside the repository, so that `flotilla` resolves as it does for a user of the package. */
const SCRIPT = resolve('dist-package-probe');

afterAll(() => {
  rmSync(`${SCRIPT}.mjs`, { force: true });
  rmSync(`${SCRIPT}.cjs`, { force: true });
});

/** What a script prints, which must be JSON and nothing else. */
function run(extension: 'mjs' | 'cjs', text: string): unknown {
  const path = `${SCRIPT}.${extension}`;
  writeFileSync(path, text);
  return JSON.parse(execFileSync(process.execPath, [path], { encoding: 'utf8' }));
}

/** The package's files that a file of `dist` loads, and the packages that they name. */
function loadedFrom(entry: string): { own: Set<string>; packages: Set<string> } {
  const own = new Set<string>();
  const packages = new Set<string>();
  const waiting = [entry];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (own.has(path)) continue;
    own.add(path);
    const text = readFileSync(path, 'utf8');
    for (const [, specifier = ''] of text.matchAll(/^(?:import|export)[^;]*?from '([^']+)'/gm)) {
      if (specifier.startsWith('.')) waiting.push(normalize(join(dirname(path), specifier)));
      else if (!specifier.startsWith('node:')) packages.add(specifier);
    }
  }
  return { own, packages };
}

describe('the package', () => {
  it.each(Object.keys(VALUES))('offers the names of %s to import, and no others', (entry) => {
    const text = `console.log(JSON.stringify(Object.keys(await import('${entry}')).sort()));`;
    expect(run('mjs', text)).toEqual(VALUES[entry]);
  });

  it.each(Object.keys(VALUES))('offers the names of %s to require, from 20.19 on', (entry) => {
    const text = `console.log(JSON.stringify(Object.keys(require('${entry}')).filter(
      (name) => name !== '__esModule' && name !== 'module.exports').sort()));`;
    expect(run('cjs', text)).toEqual(VALUES[entry]);
  });

  it('offers nothing else by path', () => {
    const text = `import('flotilla/dist/index.js')
      .catch(({ code }) => console.log(JSON.stringify(code)));`;
    expect(run('mjs', text)).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it('has types for each entry, without what is internal', () => {
    const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      exports: Record<string, { types?: string }>;
    };
    for (const [name, { types }] of Object.entries(exports)) {
      if (name !== './package.json') expect(existsSync(types ?? 'missing')).toBe(true);
    }
    const declared = readFileSync('dist/client/collection.d.ts', 'utf8');
    expect(declared).toContain('upsert(');
    expect(declared).not.toContain('constructor(');
  });

  it('loads for a client grpc-js and few modules of its own', () => {
    const { own, packages } = loadedFrom('dist/client/index.js');
    expect([...packages]).toEqual(['@grpc/grpc-js']);
    expect(own.size).toBeLessThanOrEqual(CLIENT_OWN_MODULES_MAX);
    expect(
      [...own].filter((path) => /dist\/(engine|raft|router|node|server)\//.test(path)),
    ).toEqual([]);
    const text = `import { createRequire } from 'node:module';
      await import('flotilla/client');
      console.log(Object.keys(createRequire(import.meta.url).cache).length);`;
    const loaded = run('mjs', text);
    expect(loaded).toBeGreaterThan(1);
    expect(loaded).toBeLessThanOrEqual(CLIENT_PACKAGE_MODULES_MAX);
  });

  it('is small, and depends on few others', () => {
    const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [packed] = JSON.parse(output) as [{ files: { path: string; size: number }[] }];
    // What an earlier build has left in `dist` is not part of what is published.
    const isBuilt = (path: string): boolean => {
      const source = path.replace(/^dist\//, 'src/').replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
      return !path.startsWith('dist/') || existsSync(source);
    };
    const files = packed.files.filter(({ path }) => isBuilt(path));
    expect(files.length).toBeGreaterThan(100);
    const sizeBytes = files.reduce((sum, { size }) => sum + size, 0);
    expect(sizeBytes).toBeLessThanOrEqual(PACKAGE_BYTES_MAX);
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(dependencies).length).toBeLessThanOrEqual(DEPENDENCIES_MAX);
  });
});
