// Goal: however many calls share a signal, it has one listener, and each call hears of the abort.
// Method: signals that count their listeners; many calls of a client with one signal.
import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { onAbort } from '../../../src/client/abort.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { failureOf, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';

afterEach(() => vi.restoreAllMocks());

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

describe('waiting for an abort', () => {
  it('takes one listener for all who wait, and none when nobody does any more', () => {
    const { signal } = new AbortController();
    const ends = Array.from({ length: 20 }, () => onAbort(signal, () => undefined));
    expect(listenersOf(signal)).toBe(1);
    for (const end of ends.slice(1)) end();
    expect(listenersOf(signal)).toBe(1);
    ends[0]?.();
    ends[0]?.();
    expect(listenersOf(signal)).toBe(0);
    onAbort(signal, () => undefined);
    expect(listenersOf(signal)).toBe(1);
  });

  it('tells each who still waits, once, also where one ends the wait of another', () => {
    const controller = new AbortController();
    const told: number[] = [];
    const waits = [0, 1, 2, 3].map((which) =>
      onAbort(controller.signal, () => {
        told.push(which);
        waits[2]?.();
      }),
    );
    waits[1]?.();
    controller.abort();
    controller.abort();
    expect(told).toEqual([0, 3]);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('is over at once without a signal, and where it is aborted already', () => {
    const task = vi.fn();
    onAbort(undefined, task)();
    onAbort(AbortSignal.abort(), task)();
    expect(task).not.toHaveBeenCalled();
  });
});

describe('64 calls with one signal', () => {
  it.each(['stream', 'unary'] as const)('raise no warning over %s, and all end', async (kind) => {
    await using harness = await startHarness();
    const warned = vi.spyOn(process, 'emitWarning');
    const notes = harness.client({ transport: kind }).collection('notes');
    const controller = new AbortController();
    const { signal } = controller;
    // Those wait for the connection first, then for their answers.
    let held = 0;
    harness.backend.before = () => {
      held++;
      return new Promise(() => undefined);
    };
    const counts = Array.from({ length: 64 }, () => failureOf(notes.count({ signal })));
    await waitUntil('all are held', () => held === 64);
    expect(listenersOf(signal)).toBe(1);
    controller.abort();
    const reasons = new Set((await Promise.all(counts)).map(({ reason }) => reason));
    expect([...reasons]).toEqual(['CANCELLED']);
    expect(listenersOf(signal)).toBe(0);
    expect(warned).not.toHaveBeenCalled();
  });

  it('raise none either while they wait for their next attempt', async () => {
    await using harness = await startHarness();
    const warned = vi.spyOn(process, 'emitWarning');
    const patient = { waitMinMs: 60_000, waitMaxMs: 60_000 };
    const notes = harness.client({ retry: patient, timeoutMs: 600_000 }).collection('notes');
    const controller = new AbortController();
    let failed = 0;
    harness.backend.before = () => {
      failed++;
      throw new FlotillaError('NO_LEADER', 'nobody leads');
    };
    const { signal } = controller;
    const counts = Array.from({ length: 64 }, () => failureOf(notes.count({ signal })));
    await waitUntil('all have failed once', () => failed >= 64);
    controller.abort();
    expect(await Promise.all(counts)).toHaveLength(64);
    expect(listenersOf(signal)).toBe(0);
    expect(warned).not.toHaveBeenCalled();
  });
});
