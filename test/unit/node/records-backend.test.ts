// Goal: a node that may not know the newest topology says nothing definite about it (F-11, P-2).
// Method: the backend over a view at its first document, with a topology group that works or fails.
import { describe, expect, it } from 'vitest';
import { RouterBackend } from '../../../src/node/records-backend.js';
import { Router } from '../../../src/router/router.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { TopologyGroup } from '../../../src/topology/topology-group.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { genesis } from '../topology/topology-fixtures.js';

const CALL = { timeoutMs: 10_000, signal: new AbortController().signal };
const READ = { ...CALL, consistency: 'strong' as const };
const WRITE = { ...CALL, retry: 'client' as const };

/** `refresh` is that of the topology's group; none where its replica does not run. */
function backend(refresh?: (timeoutMs: number) => Promise<void>): RouterBackend {
  const view = new TopologyHolder();
  view.publish(genesis());
  const environment = new VirtualEnvironment();
  const replicas = () => {
    throw new Error('no replica is asked');
  };
  const router = new Router({ view, replicas, environment });
  const group: Pick<TopologyGroup, 'refresh'> | undefined = refresh && {
    refresh: ({ timeoutMs }) => refresh(timeoutMs),
  };
  return new RouterBackend({ router, view, topology: () => group as TopologyGroup | undefined });
}

const failing = (reason: ErrorReason) => async (): Promise<void> => {
  throw new FlotillaError(reason, `refreshing failed with ${reason}`);
};

const doubtful = [
  { why: 'its replica of the topology does not run', of: () => backend() },
  { why: 'the topology has no leader', of: () => backend(failing('NO_LEADER')) },
  { why: 'the topology does not answer', of: () => backend(failing('DEADLINE_EXCEEDED')) },
  { why: 'its log is damaged', of: () => backend(failing('LOG_DAMAGED')) },
];

describe('a call', () => {
  it('is given up where its caller gives up, whatever its options are made of (F-20)', async () => {
    const { signal } = new AbortController();
    const signals: unknown[] = [];
    const router = { count: async (_name: string, one: typeof READ) => signals.push(one.signal) };
    const options = { router: router as unknown as Router, view: new TopologyHolder() };
    const records = new RouterBackend({ ...options, topology: () => undefined });
    // As calls of the server have it, which make one when it is asked for.
    const call = Object.assign(Object.create({ signal }), { ...READ, signal: undefined });
    delete call.signal;
    const filter = encodeFilter({ word: 'a' });
    await records.count('docs', filter, call);
    expect(signals).toEqual([signal]);
  });
});

describe('a collection that the node does not know', () => {
  it.each(doubtful)('is not said to be missing where $why', async ({ of }) => {
    const notReady = { reason: 'NODE_NOT_READY', retryable: true, outcome: 'not-applied' };
    const calls: (() => unknown)[] = [
      () => of().collection('docs', CALL),
      () => of().newestCollection('docs', CALL),
      () => of().count('docs', undefined, READ),
      () => of().delete('docs', ['a'], WRITE),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(notReady);
  });

  it('is missing where the topology has been asked', async () => {
    const known = backend(async () => undefined);
    await expect(known.count('docs', undefined, READ)).rejects.toMatchObject({
      reason: 'COLLECTION_NOT_FOUND',
    });
  });

  it('leaves the answer time to arrive, and a caller who gave up alone', async () => {
    const limits: number[] = [];
    const asked = backend(async (timeoutMs) => void limits.push(timeoutMs));
    await expect(asked.count('docs', undefined, { ...READ, timeoutMs: 1_000 })).rejects.toThrow();
    expect(limits).toEqual([500]);
    const cancelled = backend(failing('CANCELLED')).count('docs', undefined, READ);
    await expect(cancelled).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
});
