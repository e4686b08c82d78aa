// Goal: committed entries are applied in order and whole, soon where someone waits, else together.
// Method: a state machine that notes its batches, in virtual time.
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../../src/raft/types.js';
import { ApplyQueue } from '../../../src/replica/apply-queue.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const LINGER_MS = 20;

function entry(index: number, sizeBytes = 1): Entry {
  return { type: 'EntryNormal', term: 1, index, data: new Uint8Array(sizeBytes) };
}

function setup(lingerMs = LINGER_MS) {
  const environment = new VirtualEnvironment();
  const batches: number[][] = [];
  const applied: { indexes: number[]; results: readonly string[] }[] = [];
  const errors: unknown[] = [];
  const gate = { wait: Promise.resolve() };
  const queue = new ApplyQueue<string>({
    stateMachine: {
      apply: async (entries: readonly CommittedEntry[]) => {
        batches.push(entries.map(({ index }) => index));
        await gate.wait;
        return entries.map(({ index }) => `result ${index}`);
      },
    },
    scheduler: environment.scheduler,
    lingerMs,
    onApplied: (entries, results) =>
      applied.push({ indexes: entries.map(({ index }) => index), results }),
    onError: (error) => errors.push(error),
  });
  return { environment, queue, batches, applied, errors, gate };
}

describe('ApplyQueue', () => {
  it('applies urgent entries at once, and gives results to those with a command', async () => {
    const { environment, queue, applied } = setup();
    queue.push([entry(1), { ...entry(2), data: new Uint8Array(0) }, entry(3)], true);
    await environment.advance(0);
    expect(applied).toEqual([{ indexes: [1, 2, 3], results: ['result 1', 'result 3'] }]);
  });

  it('lets other entries wait for each other, and no longer than it may', async () => {
    const { environment, queue, batches } = setup();
    queue.push([entry(1)], false);
    await environment.advance(LINGER_MS / 2);
    queue.push([entry(2)], false);
    await environment.advance(LINGER_MS / 2 - 1);
    expect(batches).toEqual([]);
    await environment.advance(1);
    expect(batches).toEqual([[1, 2]]);
  });

  it('applies what waits before what is urgent, in one batch', async () => {
    const { environment, queue, batches } = setup();
    queue.push([entry(1)], false);
    queue.push([entry(2)], true);
    await environment.advance(0);
    expect(batches).toEqual([[1, 2]]);
    await environment.advance(2 * LINGER_MS);
    expect(batches).toHaveLength(1);
  });

  it('lets nothing wait when hurried, when much has come, or without a linger time', async () => {
    const hurried = setup();
    hurried.queue.push([entry(1)], false);
    hurried.queue.hurry();
    const many = setup();
    for (let index = 1; index <= 64; index++) many.queue.push([entry(index)], false);
    const big = setup();
    big.queue.push([entry(1, 256 * 1024)], false);
    const eager = setup(0);
    eager.queue.push([entry(1)], false);
    for (const { environment, batches } of [hurried, many, big, eager]) {
      await environment.advance(0);
      expect(batches).toHaveLength(1);
    }
  });

  it('has one batch under way; what comes meanwhile is the next one', async () => {
    const { environment, queue, batches, gate } = setup();
    let open = (): void => undefined;
    gate.wait = new Promise((resolve) => {
      open = resolve;
    });
    queue.push([entry(1)], true);
    queue.push([entry(2)], true);
    queue.push([entry(3)], true);
    await environment.advance(0);
    expect(batches).toEqual([[1]]);
    open();
    await environment.advance(0);
    expect(batches).toEqual([[1], [2, 3]]);
  });

  it('waits for the batch under way when stopped, and applies nothing more', async () => {
    const { environment, queue, batches, applied, gate } = setup();
    let open = (): void => undefined;
    gate.wait = new Promise((resolve) => {
      open = resolve;
    });
    queue.push([entry(1)], true);
    queue.push([entry(2)], true);
    const stopped = queue.stop();
    open();
    await environment.settle(stopped);
    queue.push([entry(3)], true);
    queue.hurry();
    await environment.advance(LINGER_MS);
    expect(batches).toEqual([[1]]);
    expect(applied).toHaveLength(1);
  });

  it('tells of a failure once, and applies nothing after it', async () => {
    const { environment, queue, batches, errors, gate } = setup();
    gate.wait = Promise.reject(new Error('disk'));
    gate.wait.catch(() => undefined);
    queue.push([entry(1)], true);
    await environment.advance(0);
    queue.push([entry(2)], true);
    await environment.advance(LINGER_MS);
    expect(errors).toHaveLength(1);
    expect(batches).toEqual([[1]]);
  });
});
