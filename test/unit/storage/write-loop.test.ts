// Goal: group commit keeps order, merges what waits, bounds a batch, and settles each promise once.
// Method: a target whose commits the test lets through, fails or watches.
import { describe, expect, it } from 'vitest';
import { WriteLoop } from '../../../src/storage/write-loop.js';

interface Commit {
  readonly jobs: readonly string[];
  readonly pass: () => void;
  readonly fail: (error: Error) => void;
}

/** A loop over strings; jobs that start with `bad` are refused by the target. */
function newLoop(): { loop: WriteLoop<string, string[]>; commits: Commit[] } {
  const commits: Commit[] = [];
  const loop = new WriteLoop<string, string[]>({
    begin: () => [],
    add: (batch, job) => {
      if (job.startsWith('bad')) throw new Error(`refused ${job}`);
      batch.push(job);
    },
    commit: (jobs) =>
      new Promise((pass, fail) => {
        commits.push({ jobs, pass, fail });
      }),
  });
  return { loop, commits };
}

async function turn(): Promise<void> {
  for (let turns = 0; turns < 8; turns++) await Promise.resolve();
}

describe('WriteLoop', () => {
  it('commits together what is submitted in one turn, and then what came meanwhile', async () => {
    const { loop, commits } = newLoop();
    const done: string[] = [];
    const submit = (job: string): Promise<unknown> =>
      loop.submit(job, 1).then(() => done.push(job));
    submit('a');
    submit('b');
    await turn();
    expect(commits.map(({ jobs }) => jobs)).toEqual([['a', 'b']]);
    submit('c');
    await turn();
    submit('d');
    await turn();
    expect(commits).toHaveLength(1);
    expect(done).toEqual([]);
    commits[0]?.pass();
    await turn();
    expect(done).toEqual(['a', 'b']);
    expect(commits[1]?.jobs).toEqual(['c', 'd']);
    commits[1]?.pass();
    await turn();
    expect(done).toEqual(['a', 'b', 'c', 'd']);
  });

  it('ends a batch at 8 MiB, and takes a larger job alone', async () => {
    const { loop, commits } = newLoop();
    const MEBIBYTE = 2 ** 20;
    for (const [job, size] of Object.entries({ a: 5, b: 3, c: 20, d: 1 })) {
      void loop.submit(job, size * MEBIBYTE);
    }
    for (let batch = 0; batch < 3; batch++) {
      await turn();
      commits[batch]?.pass();
    }
    expect(commits.map(({ jobs }) => jobs)).toEqual([['a', 'b'], ['c'], ['d']]);
  });

  it('refuses a bad job alone, and makes no batch of nothing', async () => {
    const { loop, commits } = newLoop();
    const bad = loop.submit('bad 1', 1);
    await expect(bad).rejects.toThrow('refused bad 1');
    expect(commits).toEqual([]);
    const good = loop.submit('a', 1);
    const alsoBad = loop.submit('bad 2', 1);
    await expect(alsoBad).rejects.toThrow('refused bad 2');
    expect(commits.map(({ jobs }) => jobs)).toEqual([['a']]);
    commits[0]?.pass();
    await good;
    expect(loop.poisoned).toBeUndefined();
  });

  it('rejects what is under way, waiting and later once a commit failed (S6)', async () => {
    const { loop, commits } = newLoop();
    const underWay = loop.submit('a', 1);
    await turn();
    const waiting = loop.submit('b', 1);
    const cause = new Error('EIO');
    commits[0]?.fail(cause);
    for (const refused of [underWay, waiting, loop.submit('c', 1)]) {
      await expect(refused).rejects.toMatchObject({ reason: 'STORE_POISONED', cause });
    }
    expect(commits).toHaveLength(1);
    expect(loop.poisoned?.outcome).toBe('unknown');
    await loop.close();
  });

  it('can be poisoned from outside, and keeps the first cause', async () => {
    const { loop, commits } = newLoop();
    const underWay = loop.submit('a', 1);
    await turn();
    const waiting = loop.submit('b', 1);
    loop.poison(new Error('first'));
    loop.poison(new Error('second'));
    await expect(waiting).rejects.toThrow('first');
    commits[0]?.pass();
    await expect(underWay).rejects.toThrow('first');
    expect(loop.poisoned?.message).toContain('first');
  });

  it('waits on close for all that was submitted', async () => {
    const { loop, commits } = newLoop();
    const submitted = loop.submit('a', 1);
    let closed = false;
    const closing = loop.close().then(() => {
      closed = true;
    });
    await expect(loop.submit('b', 1)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    await turn();
    expect(closed).toBe(false);
    commits[0]?.pass();
    await Promise.all([submitted, closing, loop.close()]);
    await expect(loop.submit('c', 1)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
  });

  it('starts again after it was idle', async () => {
    const { loop, commits } = newLoop();
    for (const job of ['a', 'b', 'c']) {
      const submitted = loop.submit(job, 1);
      await turn();
      commits.at(-1)?.pass();
      await submitted;
    }
    expect(commits.map(({ jobs }) => jobs)).toEqual([['a'], ['b'], ['c']]);
  });
});
