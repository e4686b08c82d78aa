/**
 * Compiles the index library for the processor, and notes beside it what it was compiled for.
 *
 *     node scripts/build-addon.mjs [--native | --plain | --target-cpu NAME] [--optional]
 *
 * npm compiles hnswlib-node for the oldest processors of its kind, which costs up to twice the time
 * of a search. Without an option this takes AVX2 and FMA where processor and system are known to
 * have them (x64 on Linux), or what the variable TARGET_CPU names for the compiler's `-march`.
 * `--native` takes all that this processor has: the result runs on no lesser one.
 *
 * Plain JavaScript of one file, for it runs at install: before anything is compiled, and alone in
 * the image's build. In every failure the addon that is there stays; where there is none, a plain
 * one is tried. With `--optional` a failure is a warning where an addon is left, and where npm was
 * told to omit what is optional. It is an error where npm has left the library out by itself: so
 * it does, without a word, when it cannot compile it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process, { cwd, env, execPath, exit, version } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** As src/engine/index/addon-build.ts reads it. */
const RECORD_FORMAT = 1;
const RECORD_NAME = 'addon-build.json';
const AVX2_FLAGS = '-mavx2 -mfma';

/** What the compiler defines for an instruction set, and Linux calls it. */
const FEATURES = {
  __SSE3__: 'pni',
  __SSSE3__: 'ssse3',
  __SSE4_1__: 'sse4_1',
  __SSE4_2__: 'sse4_2',
  __POPCNT__: 'popcnt',
  __AVX__: 'avx',
  __AVX2__: 'avx2',
  __FMA__: 'fma',
  __F16C__: 'f16c',
  __BMI__: 'bmi1',
  __BMI2__: 'bmi2',
  __LZCNT__: 'abm',
  __MOVBE__: 'movbe',
  __GFNI__: 'gfni',
  __AVXVNNI__: 'avx_vnni',
  __AVX512F__: 'avx512f',
  __AVX512BW__: 'avx512bw',
  __AVX512CD__: 'avx512cd',
  __AVX512DQ__: 'avx512dq',
  __AVX512VL__: 'avx512vl',
  __AVX512IFMA__: 'avx512ifma',
  __AVX512VBMI__: 'avx512vbmi',
  __AVX512VBMI2__: 'avx512_vbmi2',
  __AVX512VNNI__: 'avx512_vnni',
  __AVX512BITALG__: 'avx512_bitalg',
  __AVX512VPOPCNTDQ__: 'avx512_vpopcntdq',
  __AVX512BF16__: 'avx512_bf16',
  __AVX512FP16__: 'avx512_fp16',
};

/** A reason that is shown without a stack. */
class BuildError extends Error {}

class NotInstalledError extends BuildError {}

main();

function main() {
  const { values } = parseArgs({
    options: {
      native: { type: 'boolean', default: false },
      plain: { type: 'boolean', default: false },
      'target-cpu': { type: 'string' },
      optional: { type: 'boolean', default: false },
      probe: { type: 'string' },
    },
  });
  if (values.probe !== undefined) return probe(values.probe);
  try {
    say(install(targetOf(values)));
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    say(error.message);
    if (!values.optional) exit(1);
    goOn(error);
  }
}

/** With the addon that is there; with none where npm was told so. Ends the process otherwise. */
function goOn(error) {
  if (error instanceof NotInstalledError) {
    if (!words(env.npm_config_omit ?? '').includes('optional')) exit(1);
    say('going on without it, for clients alone');
  } else {
    if (!existsSync(addonFiles().addon)) exit(1);
    say('going on with what there is; `npm run build:addon` tries again');
  }
}

/** What to compile for: flags for the compiler, and whether it has to run on this machine. */
function targetOf({ native, plain, 'target-cpu': named = env.TARGET_CPU }) {
  if ([native, plain].filter(Boolean).length > 1) throw new BuildError('--native or --plain?');
  if (plain) return { flags: '', runsHere: true };
  if (native) return { flags: '-march=native', runsHere: true };
  if (named !== undefined && named !== '') {
    const isForeign = named.startsWith('x86-64') && process.arch !== 'x64';
    return isForeign
      ? { flags: '', runsHere: true }
      : { flags: `-march=${named}`, runsHere: false };
  }
  const has = machineFeatures();
  const isCapable = process.arch === 'x64' && has.has('avx2') && has.has('fma');
  return { flags: isCapable ? AVX2_FLAGS : '', runsHere: true };
}

/** Brings the addon to the target, and answers with a sentence about it. */
function install(target) {
  const files = addonFiles();
  const wanted = descriptionOf(target);
  const present = presentRecord(files);
  if (present !== undefined && isSameBuild(present, wanted)) {
    return `hnswlib-node is there already, for ${present.instructionSet}`;
  }
  // What npm has just compiled is plain, unless its own environment said otherwise.
  const isPlain = target.flags === '';
  if (isPlain && present === undefined && works(files.addon)) {
    writeRecord(files, wanted);
    return `hnswlib-node stays as npm compiled it, for ${wanted.instructionSet}`;
  }
  try {
    compileInto(files, target, wanted);
    return `hnswlib-node is compiled for ${wanted.instructionSet}, by ${wanted.compiler}`;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    fallBack(files, isPlain);
    throw error;
  }
}

/** Leaves an addon that works, if a plain one can be had. */
function fallBack(files, isPlain) {
  const plain = { flags: '', runsHere: true };
  if (works(files.addon)) {
    if (presentRecord(files) === undefined) writeRecord(files, descriptionOf(plain));
  } else if (!isPlain) {
    compileInto(files, plain, descriptionOf(plain));
  }
}

function addonFiles() {
  const require = createRequire(join(cwd(), 'package.json'));
  let packagePath;
  try {
    packagePath = require.resolve('hnswlib-node/package.json');
  } catch {
    throw new NotInstalledError(
      'hnswlib-node is not installed here: npm was told to omit it, or could not compile it. That ' +
        'takes python3, make and a C++ compiler; `npm ci --foreground-scripts` shows what goes wrong',
    );
  }
  const directory = dirname(packagePath);
  const release = join(directory, 'build', 'Release');
  return {
    directory,
    release,
    addon: join(release, 'addon.node'),
    record: join(release, RECORD_NAME),
  };
}

/** The record, if it is of the addon that is there. */
function presentRecord({ addon, record }) {
  try {
    const found = JSON.parse(readFileSync(record, 'utf8'));
    return found.sha256 === checksumOf(addon) ? found : undefined;
  } catch {
    return undefined;
  }
}

function isSameBuild(present, { flags, compiler, instructionSet }) {
  return (
    present.format === RECORD_FORMAT &&
    present.flags === flags &&
    present.compiler === compiler &&
    present.instructionSet === instructionSet
  );
}

/** All of the record but the checksum. */
function descriptionOf({ flags }) {
  const allFlags = [env.CXXFLAGS, flags].filter(Boolean).join(' ');
  const requires = requiredFeatures(allFlags);
  return {
    format: RECORD_FORMAT,
    instructionSet: instructionSetOf(allFlags, requires),
    requires,
    flags: allFlags,
    compiler: compilerName(),
  };
}

function instructionSetOf(flags, requires) {
  if (flags.includes('-march=native')) return 'native';
  if (process.arch !== 'x64') return 'plain';
  if (requires.includes('avx512f')) return 'avx512';
  if (requires.includes('avx2') && requires.includes('fma')) return 'avx2';
  return 'sse';
}

/** What a processor must have to run what the compiler makes with these flags. */
function requiredFeatures(flags) {
  if (process.arch !== 'x64') return [];
  const asked = spawnSync(compilerCommand(), [...words(flags), '-dM', '-E', '-x', 'c++', '-'], {
    input: '',
    encoding: 'utf8',
  });
  if (asked.status !== 0) return [];
  const defined = new Set([...asked.stdout.matchAll(/^#define (\w+)/gm)].map((match) => match[1]));
  return Object.entries(FEATURES).flatMap(([name, feature]) =>
    defined.has(name) ? [feature] : [],
  );
}

function compilerCommand() {
  return words(env.CXX ?? '')[0] ?? (process.platform === 'darwin' ? 'c++' : 'g++');
}

function compilerName() {
  const asked = spawnSync(compilerCommand(), ['--version'], { encoding: 'utf8' });
  return asked.status === 0 ? asked.stdout.split('\n', 1)[0].trim() : 'unknown';
}

/** Compiles beside the addon, tries the result, and only then puts it in the addon's place. */
function compileInto(files, { flags, runsHere }, description) {
  const missing = description.requires.filter((feature) => !machineFeatures().has(feature));
  if (runsHere && machineFeatures().size > 0 && missing.length > 0) {
    throw new BuildError(`this processor lacks ${missing.join(', ')}`);
  }
  const scratch = mkdtempSync(join(files.directory, 'build-'));
  try {
    cpSync(join(files.directory, 'binding.gyp'), join(scratch, 'binding.gyp'));
    cpSync(join(files.directory, 'src'), join(scratch, 'src'), { recursive: true });
    runNodeGyp(scratch, flags);
    const built = join(scratch, 'build', 'Release', 'addon.node');
    if (runsHere || missing.length === 0) tryAddon(built);
    mkdirSync(files.release, { recursive: true });
    // A process that runs with the old file keeps it; it must not be written over.
    renameSync(built, files.addon);
    writeRecord(files, description);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function runNodeGyp(directory, flags) {
  const headers = headersDirectory();
  const built = spawnSync(execPath, [nodeGypPath(), 'rebuild'], {
    cwd: directory,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: {
      ...env,
      CXXFLAGS: [env.CXXFLAGS, flags].filter(Boolean).join(' '),
      ...(headers !== undefined && { npm_config_nodedir: headers }),
    },
  });
  if (built.status === 0) return;
  const lines = `${built.stdout ?? ''}${built.stderr ?? ''}${built.error ?? ''}`.trim().split('\n');
  throw new BuildError(`hnswlib-node cannot be compiled:\n${lines.slice(-15).join('\n')}`);
}

function nodeGypPath() {
  const npm = env.npm_execpath && join(dirname(env.npm_execpath), '..');
  const places = [
    env.npm_config_node_gyp,
    npm && join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
    join(dirname(execPath), '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
  ];
  const found = places.find((place) => place && existsSync(place));
  if (found === undefined) throw new BuildError('node-gyp is not there: use `npm run build:addon`');
  return found;
}

/** Where Node.js has brought its own headers, which spares their download. */
function headersDirectory() {
  if (env.npm_config_nodedir) return env.npm_config_nodedir;
  const prefix = join(dirname(execPath), '..');
  try {
    const header = readFileSync(join(prefix, 'include/node/node_version.h'), 'utf8');
    const numbers = ['MAJOR', 'MINOR', 'PATCH'].map(
      (part) => new RegExp(`#define NODE_${part}_VERSION (\\d+)`).exec(header)?.[1],
    );
    return `v${numbers.join('.')}` === version ? prefix : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it is there, and of this system. */
function works(addon) {
  if (!existsSync(addon)) return false;
  try {
    tryAddon(addon);
    return true;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return false;
  }
}

/** In a process of its own: an instruction that the processor does not know ends it. */
function tryAddon(path) {
  try {
    execFileSync(execPath, [fileURLToPath(import.meta.url), '--probe', path], { stdio: 'pipe' });
  } catch (error) {
    const how = error.signal ?? String(error.stderr ?? error.message).trim();
    throw new BuildError(`what was compiled does not work here: ${how}`);
  }
}

/** Searches small graphs whose distances are known. Throws where they are wrong. */
function probe(path) {
  const loaded = { exports: {} };
  process.dlopen(loaded, path);
  for (const space of ['l2', 'ip']) {
    // Each has its own code for whole and for broken numbers of lanes.
    for (const dimension of [3, 16, 19, 64, 67, 768]) probeSpace(loaded.exports, space, dimension);
  }
}

function probeSpace({ HierarchicalNSW }, space, dimension) {
  const index = new HierarchicalNSW(space, dimension);
  index.initIndex({ maxElements: 64, m: 8, efConstruction: 64 });
  const points = Array.from({ length: 64 }, (_, row) =>
    Array.from({ length: dimension }, (_, at) => ((row * 31 + at * 17) % 23) / 8 - 1),
  );
  for (const [label, point] of points.entries()) index.addPoint(point, label);
  index.setEf(64);
  const query = points[5];
  const { distances, neighbors } = index.searchKnn(query, 64);
  for (const [rank, label] of neighbors.entries()) {
    const products = points[label].map((value, at) =>
      space === 'l2' ? (value - query[at]) ** 2 : -value * query[at],
    );
    const exact = products.reduce((sum, product) => sum + product, space === 'l2' ? 0 : 1);
    if (!(Math.abs(distances[rank] - exact) <= 1e-4 * dimension)) {
      throw new Error(`${space} of ${dimension} floats: ${distances[rank]} instead of ${exact}`);
    }
  }
}

/** What Linux says that the processor, and the system on it, can do; empty elsewhere. */
function machineFeatures() {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
    return new Set(words(flags?.[1] ?? ''));
  } catch {
    return new Set();
  }
}

function writeRecord({ addon, record }, description) {
  const text = `${JSON.stringify({ ...description, sha256: checksumOf(addon) }, undefined, 2)}\n`;
  writeFileSync(`${record}.new`, text);
  renameSync(`${record}.new`, record);
}

function checksumOf(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function words(text) {
  return text.split(/\s+/).filter((word) => word !== '');
}

function say(text) {
  console.error(text);
}
