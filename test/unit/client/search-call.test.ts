// Goal: a search can be awaited and gone through, is sent once, and fails only those who look.
// Method: a server with a backend that counts its calls, and the process's own rejection events.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  await notes().upsert(['a', 'b', 'c'].map((id, at) => ({ id, values: [at, 1, 1, 1] })));
  harness.backend.calls.length = 0;
});
afterEach(() => harness[Symbol.asyncDispose]());

const QUERY = { vector: [0, 1, 1, 1], k: 3 };
const IDS = ['a', 'b', 'c'];

function notes() {
  return harness.client().collection('notes');
}

function searches(): number {
  return harness.backend.calls.filter((call) => call === 'search').length;
}

async function idsOf(hits: AsyncIterable<{ id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of hits) ids.push(id);
  return ids;
}

describe('a search', () => {
  it('is sent when it is called, before anybody awaits it', async () => {
    const search = notes().search(QUERY);
    await waitUntil('the search has arrived', () => searches() === 1);
    expect((await search).hits.map(({ id }) => id)).toEqual(IDS);
    expect(searches()).toBe(1);
  });

  it('is sent once, however often it is awaited and gone through (K3)', async () => {
    const search = notes().search(QUERY);
    expect(await idsOf(search)).toEqual(IDS);
    expect(await idsOf(search)).toEqual(IDS);
    const [first, second] = await Promise.all([search, search.then((result) => result)]);
    expect(first).toBe(second);
    expect(await search.finally(() => undefined)).toBe(first);
    expect(searches()).toBe(1);
  });

  it('can be left in the middle of its hits', async () => {
    for await (const { id } of notes().search(QUERY)) {
      expect(id).toBe('a');
      break;
    }
    expect(searches()).toBe(1);
  });

  it('that fails tells everyone who looks, and nobody else (K4)', async () => {
    const rejections: unknown[] = [];
    const listen = (reason: unknown): number => rejections.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const unseen = notes().search({ id: 'nobody', k: 1 });
      const failed = notes().search({ id: 'nobody', k: 1 });
      expect((await failureOf(failed)).reason).toBe('RECORD_NOT_FOUND');
      expect((await failureOf(idsOf(failed))).reason).toBe('RECORD_NOT_FOUND');
      await failed.catch((error: unknown) => expect(error).toBeInstanceOf(Error));
      await waitUntil('the other one has failed too', () => searches() === 2);
      // Rejections that nobody handles are told after the turn that they happen in.
      for (let turn = 0; turn < 3; turn++) await new Promise((done) => setImmediate(done));
      expect(rejections).toEqual([]);
      expect((await failureOf(unseen)).reason).toBe('RECORD_NOT_FOUND');
    } finally {
      process.off('unhandledRejection', listen);
    }
  });

  it('rejects for bad input, and never throws', async () => {
    const search = notes().search({ vector: 'no vector' as never, k: 1 });
    expect(await failureOf(search)).toMatchObject({ field: 'query.vector' });
    expect(searches()).toBe(0);
  });

  it('ends with CANCELLED when its signal is aborted, and is not answered twice', async () => {
    harness.backend.before = () => new Promise(() => undefined);
    const giveUp = new AbortController();
    const search = notes().search(QUERY, { signal: giveUp.signal });
    await waitUntil('the search has arrived', () => searches() === 1);
    giveUp.abort();
    expect((await failureOf(search)).reason).toBe('CANCELLED');
    expect((await failureOf(idsOf(search))).reason).toBe('CANCELLED');
  });

  it('is a promise to whoever takes one', async () => {
    const promise: Promise<{ degraded: boolean }> = notes().search(QUERY);
    expect((await promise).degraded).toBe(false);
    expect(String(promise)).toBe('[object SearchCall]');
  });
});
