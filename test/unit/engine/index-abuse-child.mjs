/**
 * A process that uses the HNSW index as nobody should. What goes wrong in the addon ends it.
 *
 *     node index-abuse-child.mjs CASE DIRECTORY [SEED]
 *
 * Says what came of each attempt, as a line of JSON: `{ attempt, error }`, the name of the error or
 * nothing. It ends with exit code 0 if it lives that long.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { argv, exit, memoryUsage } from 'node:process';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { HnswIndex } from '../../../dist/engine/index/hnsw-index.js';
import { RealDisk } from '../../../dist/node/real-disk.js';
import { failWhenAddonIdle } from '../../../dist/node/thread-failure.js';
import { crc32c } from '../../../dist/shared/crc32c.js';

const OPTIONS = { dimension: 8, metric: 'l2', m: 5, efConstruction: 40 };
const disk = new RealDisk();

function tell(attempt, error) {
  console.log(JSON.stringify({ attempt, error: error?.name, message: error?.message }));
}

function attempt(name, action) {
  try {
    action();
    tell(name);
  } catch (error) {
    tell(name, error);
  }
}

/** mulberry32, as in vectors.ts. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function vectorsOf(count, dimension, random = randomOf(1)) {
  return Array.from({ length: count }, () => Float32Array.from({ length: dimension }, random));
}

function filled(count, options = OPTIONS) {
  const index = new HnswIndex(options);
  for (const [label, vector] of vectorsOf(count, options.dimension).entries()) {
    index.add(label, vector);
  }
  for (let label = 0; label < count; label += 7) index.remove(label);
  return index;
}

const CASES = {
  /** The types say that none of this can happen. */
  arguments() {
    const index = filled(100);
    const good = vectorsOf(1, 8)[0];
    const wrong = {
      'a plain array with a string': [1, 2, 3, 4, 5, 6, 7, 'x'],
      'a plain array with a hole': [1, 2, 3, 4, 5, 6, 7, undefined],
      'a plain array with an object': [1, 2, 3, 4, 5, 6, 7, {}],
      'a plain array with a symbol': [1, 2, 3, 4, 5, 6, 7, Symbol('x')],
      'big integers': new BigInt64Array(8),
      nothing: undefined,
      'no array': 7,
      NaN: good.map(() => Number.NaN),
      'an infinity': good.map(() => Number.NEGATIVE_INFINITY),
      'one float less': good.subarray(1),
    };
    for (const [name, vector] of Object.entries(wrong)) {
      attempt(`add ${name}`, () => index.add(1_000, vector));
      attempt(`search ${name}`, () => index.search(vector, 1, 10));
    }
    for (const label of [-1, 2 ** 32, 0.5, Number.NaN, '7', undefined, 99, 7]) {
      attempt(`add label ${label}`, () => index.add(label, good));
    }
    for (const label of [-1, 2 ** 32, 1_000, 0, '7', undefined]) {
      attempt(`remove label ${label}`, () => index.remove(label));
    }
    for (const k of [0, -1, 2 ** 33 + 0.5, Number.NaN, '1']) {
      attempt(`search k ${k}`, () => index.search(good, k, 10));
      attempt(`search ef ${k}`, () => index.search(good, 1, k === 0 ? -2 : k));
    }
    const odd = { m: [0, 1, 2.5, 129, 1e9, Number.NaN], efConstruction: [0, 1.5, Number.NaN] };
    odd.dimension = [0, -1, 4_097, 2 ** 40, Number.NaN];
    for (const [option, values] of Object.entries(odd)) {
      for (const value of values) {
        attempt(`${option} ${value}`, () => new HnswIndex({ ...OPTIONS, [option]: value }));
      }
    }
    if (index.search(good, 1_000_000, 1_000_000).labels.length !== 85) exit(2);
  },

  /** A filter is called inside the addon. */
  filters() {
    const index = filled(200);
    const query = vectorsOf(1, 8)[0];
    const filters = {
      throws: () => {
        throw new TypeError('thrown');
      },
      'throws nothing': () => {
        throw undefined;
      },
      adds: () => index.add(1_000, query),
      removes: () => index.remove(1),
      searches: () => index.search(query, 1, 10),
      disposes: () => index.dispose(),
    };
    for (const [name, filter] of Object.entries(filters)) {
      attempt(`a filter that ${name}`, () => index.search(query, 5, 50, filter));
    }
    // What is no boolean accepts nothing.
    for (const answer of [1, 'yes', {}, Promise.resolve(true), undefined]) {
      if (index.search(query, 5, 50, () => answer).labels.length !== 0) exit(2);
    }
    if (index.search(query, 5, 50).labels.length !== 5) exit(2);
  },

  /** Files whose checksum is right and whose content is not: only their structure gives it away. */
  async 'forged-files'(directory, seed) {
    const random = randomOf(seed);
    const path = `${directory}/forged`;
    const saved = await save(filled(300), path);
    const bytes = readFileSync(path);
    const query = vectorsOf(1, 8)[0];
    for (let round = 0; round < 500; round++) {
      const damaged = damage(bytes, random);
      writeFileSync(path, damaged);
      const lie = { ...saved, sizeBytes: damaged.length, crc32c: crc32c(damaged) };
      const index = new HnswIndex(OPTIONS);
      const error = await index.load(disk, path, lie).then(
        () => use(index, query),
        (thrown) => thrown,
      );
      tell(`round ${round}`, error);
    }
  },

  /** Where there is no room for the file, the addon does not notice. */
  async 'full-disk'(directory) {
    const index = filled(5_000);
    const error = await save(index, `${directory}/too-large`).catch((thrown) => thrown);
    tell('save', error);
    use(index, vectorsOf(1, 8)[0]);
  },

  /** A thread with an index in use ends when it is told to, and the process after it. */
  async threads() {
    const worker = new Worker(new URL(import.meta.url), { workerData: { kind: 'search' } });
    await new Promise((resolve) => worker.once('message', resolve));
    worker.postMessage('end');
    const code = await new Promise((resolve) => worker.once('exit', resolve));
    tell(`the thread ended with ${code}`);
    exit(0);
  },

  /** The index is still being written when the process ends. */
  async 'exit-while-saving'(directory) {
    const index = filled(10_000, { ...OPTIONS, dimension: 1_024, efConstruction: 1 });
    const path = `${directory}/half`;
    void index.write(disk, path);
    while (!existsSync(path)) await new Promise(setImmediate);
    tell(`exit after ${statSync(path).size} bytes`);
    exit(0);
  },

  /** The thread that lets the index be written fails before it is. */
  async 'failure-while-saving'(directory) {
    const path = `${directory}/half`;
    const data = { kind: 'save', path };
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const error = await new Promise((resolve) => worker.once('error', resolve));
    tell(`the thread failed`, error);
    tell(`the thread ended with ${await ended}`);
    tell(`the file has ${statSync(path).size} bytes`);
  },

  /** Graphs that are disposed of take no memory, though V8 knows of none. */
  memory() {
    const options = { ...OPTIONS, dimension: 512, efConstruction: 8 };
    const vector = vectorsOf(1, 512)[0];
    const sizes = [];
    for (let round = 0; round < 20; round++) {
      const index = new HnswIndex(options);
      for (let label = 0; label < 5_000; label++) {
        vector[label % 512] = label;
        index.add(label, vector);
      }
      index.dispose();
      sizes.push(memoryUsage.rss());
    }
    tell(`grew by ${Math.round((sizes.at(-1) - sizes[2]) / 2 ** 20)} MiB`);
  },
};

/** A few bits, a number, a run or a cut: each somewhere. */
function damage(bytes, random) {
  const damaged = Buffer.from(bytes);
  const at = Math.floor(random() * (random() < 0.3 ? 96 : bytes.length - 8));
  switch (Math.floor(random() * 4)) {
    case 0:
      damaged[at] ^= 1 << Math.floor(random() * 8);
      return damaged;
    case 1:
      damaged.writeUInt32LE(Math.floor(random() * 2 ** 32), at & ~3);
      return damaged;
    case 2:
      return damaged.fill(Math.floor(random() * 256), at, at + Math.floor(random() * 200));
    default:
      return damaged.subarray(0, at);
  }
}

/** Whatever was read must be safe to use, if not right. */
function use(index, query) {
  index.search(query, 300, 300);
  index.search(query, 10, 50, (label) => label % 2 === 0);
  const first = 2 ** 31;
  for (const [at, vector] of vectorsOf(200, 8).entries()) index.add(first + at, vector);
  index.search(query, 600, 600);
  for (let at = 0; at < 200; at += 3) index.remove(first + at);
  index.dispose();
}

/** Searches until it is told to end. */
function searchInThread() {
  const index = filled(2_000);
  const query = vectorsOf(1, 8)[0];
  let isTold = false;
  parentPort.once('message', () => {
    isTold = true;
  });
  const search = () => {
    if (isTold) return;
    index.search(query, 10, 100, (label) => label % 2 === 0);
    setImmediate(search);
  };
  search();
  parentPort.postMessage('searching');
}

async function save(index, path) {
  const written = await index.write(disk, path);
  return written.seal();
}

async function saveInThread(path) {
  const index = filled(10_000, { ...OPTIONS, dimension: 1_024, efConstruction: 1 });
  void index.write(disk, path);
  failWhenAddonIdle(parentPort);
  while (!existsSync(path)) await new Promise(setImmediate);
  setImmediate(() => {
    throw new RangeError('nobody catches this');
  });
  setImmediate(() => {
    throw new RangeError('nor this');
  });
}

if (isMainThread) {
  const [, , name, directory, seed = '1'] = argv;
  await CASES[name](directory, Number(seed));
} else if (workerData.kind === 'search') {
  searchInThread();
} else {
  await saveInThread(workerData.path);
}
