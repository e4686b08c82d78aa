// Goal: a node knows what its index library is compiled for, and runs nothing that it cannot.
// Method: records and processors as values; the script that builds, over a compiler that is none.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { arch, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertRunnable, installedAddon, loadAddon } from '../../../src/engine/index/addon.js';
import { type AddonBuild, addonBuildOf } from '../../../src/engine/index/addon-build.js';
import {
  describeIndexLibrary,
  type IndexLibrary,
  remedyOf,
} from '../../../src/engine/index/index-library.js';
import { bestInstructionSet, processorOf } from '../../../src/engine/index/processor.js';

/** What the script calls a build without flags here. */
const PLAIN = arch() === 'x64' ? 'sse' : 'plain';
const ADDON = Uint8Array.of(1, 2, 3);
const AVX2: AddonBuild = { instructionSet: 'avx2', requires: ['avx2', 'fma'], compiler: 'g++ 12' };
const OLD = processorOf('x64', 'processor : 0\nflags : fpu sse sse2 avx\nbugs :\n');
const HASWELL = processorOf('x64', 'flags\t\t: fpu sse2 avx avx2 fma\n\nflags : none\n');

function checksumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function recordOf(changes: Record<string, unknown> = {}): string {
  return JSON.stringify({ format: 1, ...AVX2, flags: '', sha256: checksumOf(ADDON), ...changes });
}

describe('the record of a build', () => {
  it('says what the addon beside it was compiled for', () => {
    expect(addonBuildOf(recordOf(), ADDON)).toEqual(AVX2);
  });

  it.each<[string, string | undefined]>([
    ['is missing', undefined],
    ['is empty', ''],
    ['is no JSON', '{'],
    ['is a number', '7'],
    ['is null', 'null'],
    ['is of another file', recordOf({ sha256: checksumOf(Uint8Array.of(1)) })],
    ['has another format', recordOf({ format: 2 })],
    ['names instructions that nobody knows', recordOf({ instructionSet: 'mmx' })],
    ['does not say what it requires', recordOf({ requires: undefined })],
    ['requires what has no name', recordOf({ requires: [1] })],
  ])('that %s says nothing', (_what, record) => {
    expect(addonBuildOf(record, ADDON)).toMatchObject({ instructionSet: 'unknown', requires: [] });
  });
});

describe('the processor', () => {
  it.each([
    ['x64 without AVX2', OLD, 'sse'],
    ['x64 with AVX2 and FMA', HASWELL, 'avx2'],
    ['x64 with AVX2 alone', processorOf('x64', 'flags : avx2'), 'sse'],
    ['x64 with AVX-512', processorOf('x64', 'flags : avx512f fma avx2'), 'avx512'],
    ['x64 that does not tell', processorOf('x64', undefined), 'unknown'],
    ['arm64', processorOf('arm64', 'Features : fp asimd'), 'plain'],
  ])('%s can run this at best', (_what, processor, best) => {
    expect(bestInstructionSet(processor)).toBe(best);
  });

  it('is refused a build that it cannot run, by the names of what it lacks', () => {
    const refusal = {
      reason: 'UNSUPPORTED_PROCESSOR',
      message: expect.stringMatching(/avx2, fma/),
    };
    expect(() => assertRunnable({ build: AVX2, processor: OLD })).toThrow(
      expect.objectContaining(refusal),
    );
    assertRunnable({ build: AVX2, processor: HASWELL });
    assertRunnable({ build: AVX2, processor: processorOf('x64', undefined) });
    assertRunnable({ build: addonBuildOf(undefined, ADDON), processor: OLD });
  });
});

describe('the remedy', () => {
  const library = (changes: Partial<IndexLibrary>): IndexLibrary => ({
    built: 'sse',
    machine: 'avx2',
    compiler: '',
    distancesPerSecond: 0,
    ...changes,
  });

  it('is one command, where the library is plain and the processor is not', () => {
    expect(remedyOf(library({}))).toMatch(/Run: npm run build:addon$/);
    expect(remedyOf(library({ machine: 'avx512' }))).toMatch(/Run: npm run build:addon$/);
    expect(remedyOf(library({ built: 'unknown' }))).toMatch(/Run: npm run build:addon$/);
  });

  it('is not named where nothing can be gained', () => {
    for (const built of ['avx2', 'avx512', 'native'] as const) {
      expect(remedyOf(library({ built }))).toBeUndefined();
    }
    expect(remedyOf(library({ machine: 'sse' }))).toBeUndefined();
    expect(remedyOf(library({ built: 'plain', machine: 'plain' }))).toBeUndefined();
    expect(remedyOf(library({ built: 'unknown', machine: 'unknown' }))).toBeUndefined();
  });
});

describe('the installed library', () => {
  it('is described by its record, and measured by the clock that was given', () => {
    const { build } = installedAddon();
    let nowMs = 0;
    const clock = { wallMs: () => 0, monotonicMs: () => (nowMs += 2) };
    // Four searches of 512 points in each span of 2 ms.
    expect(describeIndexLibrary(clock)).toMatchObject({
      built: build.instructionSet,
      distancesPerSecond: 1_024_000,
    });
  });

  it('has no rate where the clock stands still', () => {
    const clock = { wallMs: () => 0, monotonicMs: () => 7 };
    expect(describeIndexLibrary(clock).distancesPerSecond).toBe(0);
  });

  it('is loaded once', () => {
    expect(loadAddon()).toBe(loadAddon());
  });
});

describe('a library that is not there', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'flotilla-absent-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const asked = (): unknown => installedAddon(pathToFileURL(join(root, 'node.js')).href);

  it('is an error that says what brings it', () => {
    expect(asked).toThrow(
      expect.objectContaining({
        reason: 'NATIVE_LIBRARY_MISSING',
        code: 'FAILED_PRECONDITION',
        message: expect.stringMatching(
          /hnswlib-node is not installed.*run: npm install --include=optional /,
        ),
      }),
    );
  });

  it('is one too where the package is there, and nobody has compiled it', () => {
    const library = join(root, 'node_modules/hnswlib-node');
    mkdirSync(library, { recursive: true });
    writeFileSync(join(library, 'package.json'), '{}');
    expect(asked).toThrow(
      expect.objectContaining({
        reason: 'NATIVE_LIBRARY_MISSING',
        message: expect.stringMatching(/hnswlib-node is not compiled.*run: npm run build:addon /),
      }),
    );
  });
});

describe('scripts/build-addon.mjs', () => {
  const SCRIPT = fileURLToPath(new URL('../../../scripts/build-addon.mjs', import.meta.url));
  const installed = dirname(createRequire(import.meta.url).resolve('hnswlib-node/package.json'));
  const working = join(installed, 'build/Release/addon.node');
  let root: string;
  let release: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'flotilla-addon-'));
    const library = join(root, 'node_modules/hnswlib-node');
    release = join(library, 'build/Release');
    mkdirSync(join(library, 'src'), { recursive: true });
    for (const name of ['package.json', 'binding.gyp']) {
      cpSync(join(installed, name), join(library, name));
    }
    writeFileSync(join(root, 'package.json'), '{}');
    useCompiler(['-mavx2', '-mfma']);
    useGyp(`cp "${working}" build/Release/addon.node`);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function script(name: string, text: string): string {
    const path = join(root, name);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  }

  /** A compiler that defines AVX2 where it is told one of the flags. */
  function useCompiler(flags: readonly string[]): void {
    const cases = flags.map((flag) => `*${flag}*`).join('|');
    script(
      'compiler',
      `#!/bin/sh
case "$*" in
  *--version*) echo "compiler 1.0" ;;
  ${cases}) echo "#define __AVX2__ 1"; echo "#define __FMA__ 1" ;;
esac
`,
    );
  }

  /** What stands for the build: a shell command in the directory of the copy. */
  function useGyp(command: string): void {
    script(
      'gyp.js',
      `const { spawnSync } = require('node:child_process');
const { appendFileSync, mkdirSync } = require('node:fs');
mkdirSync('build/Release', { recursive: true });
appendFileSync(${JSON.stringify(join(root, 'flags'))}, process.env.CXXFLAGS + ';');
const options = { stdio: 'inherit' };
process.exitCode = spawnSync('sh', ['-c', ${JSON.stringify(command)}], options).status;
`,
    );
  }

  interface Built {
    readonly status: number | null;
    readonly said: string;
  }

  function build(...options: string[]): Built {
    return buildUnder({}, ...options);
  }

  function buildUnder(variables: NodeJS.ProcessEnv, ...options: string[]): Built {
    const { TARGET_CPU: _target, CXXFLAGS: _flags, npm_config_omit: _omit, ...rest } = env;
    const tools = { CXX: join(root, 'compiler'), npm_config_node_gyp: join(root, 'gyp.js') };
    const child = spawnSync(execPath, [SCRIPT, ...options], {
      cwd: root,
      encoding: 'utf8',
      env: { ...rest, ...tools, ...variables },
    });
    return { status: child.status, said: child.stderr };
  }

  function installedBuild(): AddonBuild {
    const record = join(release, 'addon-build.json');
    const text = existsSync(record) ? readFileSync(record, 'utf8') : undefined;
    return addonBuildOf(text, readFileSync(join(release, 'addon.node')));
  }

  /** As npm leaves it. */
  function putAddon(bytes: string | Uint8Array): void {
    mkdirSync(release, { recursive: true });
    writeFileSync(join(release, 'addon.node'), bytes);
  }

  const timesBuilt = (): string[] =>
    existsSync(join(root, 'flags'))
      ? readFileSync(join(root, 'flags'), 'utf8').split(';').slice(0, -1)
      : [];

  it('puts what it has compiled and tried in place, with a record, and leaves nothing else', () => {
    expect(build('--target-cpu', 'x')).toMatchObject({ status: 0 });
    expect(installedBuild()).toEqual({
      instructionSet: PLAIN,
      requires: [],
      compiler: 'compiler 1.0',
    });
    expect(timesBuilt()).toEqual(['-march=x']);
    expect(readdirSync(join(root, 'node_modules/hnswlib-node')).sort()).toEqual([
      'binding.gyp',
      'build',
      'package.json',
      'src',
    ]);
  });

  it('notes what the compiler makes use of, and does nothing the second time', () => {
    useCompiler(['-march=haswell']);
    build('--target-cpu', 'haswell');
    const noted = { instructionSet: 'avx2', requires: ['avx2', 'fma'] };
    const isX64 = arch() === 'x64';
    expect(installedBuild()).toMatchObject(isX64 ? noted : { instructionSet: PLAIN });
    expect(build('--target-cpu', 'haswell').said).toContain('already');
    expect(timesBuilt()).toHaveLength(1);
    build('--target-cpu', 'other');
    expect(timesBuilt()).toHaveLength(2);
  });

  it('compiles again where somebody else has put another addon there', () => {
    build('--target-cpu', 'x');
    putAddon('another');
    expect(installedBuild().instructionSet).toBe('unknown');
    build('--target-cpu', 'x');
    expect(installedBuild().instructionSet).toBe(PLAIN);
  });

  it('keeps the plain addon that npm has compiled, and notes it', () => {
    putAddon(readFileSync(working));
    expect(build('--plain')).toMatchObject({ status: 0 });
    expect(installedBuild().instructionSet).toBe(PLAIN);
    expect(timesBuilt()).toEqual([]);
  });

  it.each([
    ['cannot be compiled', 'echo broken >&2; exit 1', 'broken'],
    ['is no addon', 'echo nonsense > build/Release/addon.node', 'does not work here'],
    ['is not made', 'true', 'does not work here'],
  ])('keeps the addon that is there when the new one %s', (_what, command, message) => {
    putAddon('from npm');
    useGyp(command);
    const failed = build('--native');
    expect(failed).toMatchObject({ status: 1, said: expect.stringContaining(message) });
    expect(readFileSync(join(release, 'addon.node'), 'utf8')).toBe('from npm');
    expect(build('--native', '--optional').status).toBe(0);
    expect(readdirSync(join(root, 'node_modules/hnswlib-node'))).toContain('build');
  });

  it('tries a plain one where there is none and the target fails', () => {
    useGyp(`test "$CXXFLAGS" = "" && cp "${working}" build/Release/addon.node`);
    expect(build('--native', '--optional')).toMatchObject({ status: 0 });
    expect(installedBuild().instructionSet).toBe(PLAIN);
    expect(timesBuilt()).toEqual(['-march=native', '']);
  });

  it('fails, optional or not, where there is no addon in the end', () => {
    useGyp('exit 1');
    expect(build('--optional').status).toBe(1);
  });

  it('fails, optional or not, where npm has left the library out: it could not compile it', () => {
    rmSync(join(root, 'node_modules'), { recursive: true });
    const failed = {
      status: 1,
      said: expect.stringMatching(/^hnswlib-node is not installed.*\n$/),
    };
    expect(build()).toMatchObject(failed);
    expect(build('--optional')).toMatchObject(failed);
    expect(buildUnder({ npm_config_omit: 'dev' }, '--optional')).toMatchObject(failed);
  });

  it('goes on without the library where npm was told to omit what is optional', () => {
    rmSync(join(root, 'node_modules'), { recursive: true });
    const omitted = { npm_config_omit: 'dev\n\noptional' };
    expect(buildUnder(omitted, '--optional').status).toBe(0);
    expect(buildUnder(omitted).status).toBe(1);
  });
});
