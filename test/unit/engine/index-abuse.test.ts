// Goal: nothing that is done to the HNSW index ends the process: each trap is an error.
// Method: processes of their own that misuse it; they tell what happened and have to live.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CHILD = fileURLToPath(new URL('./index-abuse-child.mjs', import.meta.url));

interface Attempt {
  readonly attempt: string;
  readonly error?: string;
  readonly message?: string;
}

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-abuse-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What the child told. It must have ended by itself, and well. */
function attemptsOf(child: SpawnSyncReturns<string>): Attempt[] {
  const lines = child.stdout.split('\n').filter((line) => line !== '');
  const last = lines.at(-1);
  expect({ status: child.status, signal: child.signal }, `after ${last}\n${child.stderr}`).toEqual({
    status: 0,
    signal: null,
  });
  return lines.map((line) => JSON.parse(line) as Attempt);
}

function run(name: string, seed = 1): Attempt[] {
  const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const;
  return attemptsOf(spawnSync(execPath, [CHILD, name, directory, String(seed)], options));
}

describe('the HNSW index in a process of its own', () => {
  it('refuses arguments that the types forbid, and answers on', () => {
    const attempts = run('arguments');
    expect(attempts.length).toBeGreaterThan(50);
    expect(attempts.filter(({ error }) => error === undefined)).toEqual([]);
  });

  it('survives filters that throw, and that use the index that calls them', () => {
    const errors = Object.fromEntries(run('filters').map(({ attempt, error }) => [attempt, error]));
    expect(errors).toEqual({
      'a filter that throws': 'TypeError',
      // It threw `undefined`, which has no name.
      'a filter that throws nothing': undefined,
      'a filter that adds': 'InvariantError',
      'a filter that removes': 'InvariantError',
      'a filter that searches': 'InvariantError',
      'a filter that disposes': 'InvariantError',
    });
  });

  it.each([1, 2])('loads, or refuses, files with forged checksums, seed %i', (seed) => {
    const attempts = run('forged-files', seed);
    expect(attempts).toHaveLength(500);
    const errors = new Set(attempts.map(({ error }) => error));
    // Some hit a vector only, which may be anything: those are loaded and used.
    expect(errors).toEqual(new Set(['FlotillaError', undefined]));
  });

  it('rejects where the file grows beyond what there is room for, and answers on', () => {
    // Blocks of 512 bytes; the signal that comes with the limit is ignored by Node.js.
    const command = `ulimit -f 100; exec "${execPath}" "${CHILD}" full-disk "${directory}"`;
    const child = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    expect(attemptsOf(child)).toEqual([
      { attempt: 'save', error: 'FlotillaError', message: expect.stringContaining('too-large') },
    ]);
  });

  it('ends with its thread when that is told to, and with the process', () => {
    expect(run('threads')).toEqual([{ attempt: 'the thread ended with 0' }]);
  });

  it('may be in the middle of a save when the process ends', () => {
    expect(run('exit-while-saving')).toHaveLength(1);
  });

  it('is saved to the end when its thread fails, which takes no other thread with it', () => {
    const [failure, end, file] = run('failure-while-saving');
    expect(failure).toMatchObject({ error: 'RangeError', message: 'nobody catches this' });
    expect(end?.attempt).toBe('the thread ended with 1');
    expect(file?.attempt).toMatch(/has \d{8} bytes/);
  });

  it('gives memory back when it is disposed of', () => {
    const [growth] = run('memory');
    const mebibytes = Number(/^grew by (-?\d+) MiB$/.exec(growth?.attempt ?? '')?.[1]);
    // 17 indexes of 10 MiB would be 170.
    expect(mebibytes).toBeLessThan(100);
  });
});
