// Goal: calls are sent as often as they may be, and what they teach is kept.
// Method: clients of servers with backends that fail on command, and count what they are asked.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeSessionToken } from '../../../src/shared/codec/session-token.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { type Logger, silentLogger } from '../../../src/shared/logger.js';
import { slotOfKey } from '../../../src/shared/slot.js';
import { ROUTES, WRITTEN } from '../../api/fake-backend.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness[Symbol.asyncDispose]());

const failWith = (error: FlotillaError, call?: string): void => {
  harness.backend.before = (name) => {
    if (call === undefined || name === call) throw error;
  };
};

describe('changes of tenants', () => {
  it('are not repeated where they may have been made: it could undo what others did', async () => {
    failWith(new FlotillaError('OUTCOME_UNKNOWN', 'the answer was lost'));
    const client = harness.client({ retry: { waitMaxMs: 1 } });
    const changes = [
      () => client.assignTenant({ tenant: 'acme', shardId: 1 }),
      () => client.releaseTenant('acme'),
      () => client.dedicateShard(1),
      () => client.shareShard(1),
    ];
    for (const change of changes) {
      harness.backend.calls.length = 0;
      expect((await failureOf(change())).outcome).toBe('unknown');
      expect(harness.backend.calls).toHaveLength(1);
    }
  });

  it('are repeated where they have not been made', async () => {
    let failures = 2;
    harness.backend.before = () => {
      if (failures-- > 0) throw new FlotillaError('TENANT_CHANGE_IN_PROGRESS', 'one at a time');
    };
    const client = harness.client({ retry: { waitMaxMs: 1 } });
    await client.releaseTenant('acme');
    expect(harness.backend.calls).toHaveLength(3);
  });
});

describe('a logger', () => {
  const told = (lines: string[]): Logger => ({
    ...silentLogger,
    debug: (fields) => {
      lines.push(JSON.stringify(fields));
    },
  });

  it('is told of reads and of writes that fail, by each attempt', async () => {
    failWith(new FlotillaError('NO_LEADER', 'nobody leads'));
    const lines: string[] = [];
    const client = harness.client({
      logger: told(lines),
      retry: { attemptsMax: 2, waitMaxMs: 1 },
    });
    const notes = client.collection('notes');
    await failureOf(notes.count());
    await failureOf(notes.upsert([{ id: 'a', values: [1, 2, 3, 4] }]));
    const failed = lines.filter((line) => line.includes('NO_LEADER'));
    expect(failed.map((line) => /Records\/(\w+)/.exec(line)?.[1])).toEqual([
      'Count',
      'Count',
      'Upsert',
      'Upsert',
    ]);
  });

  it('that throws takes nothing away from the error, nor from the retry (K4)', async () => {
    failWith(new FlotillaError('NO_LEADER', 'nobody leads'));
    const debug = (): void => {
      throw new Error('the disk of the log is full');
    };
    const logger = { ...silentLogger, debug };
    const client = harness.client({ logger, retry: { attemptsMax: 2, waitMaxMs: 1 } });
    const notes = client.collection('notes');
    expect((await failureOf(notes.count())).reason).toBe('NO_LEADER');
    const upserted = notes.upsert([{ id: 'a', values: [1, 2, 3, 4] }]);
    expect((await failureOf(upserted)).reason).toBe('NO_LEADER');
    expect(harness.backend.calls).toEqual(['count', 'count', 'upsert', 'upsert']);
  });
});

describe('a deletion by filter', () => {
  it('is part of what the client has seen, also where it deleted nothing (R15)', async () => {
    const client = harness.client();
    expect((await client.collection('notes').deleteByFilter({})).deletedCount).toBe(0);
    expect(decodeSessionToken(client.sessionToken, 'token')).toEqual(WRITTEN);
  });
});

describe('a shard that does not answer', () => {
  it('turns direct calls off for no other shard, whoever told of it', async () => {
    await using other = await startHarness();
    const nodes = [harness, other].map(({ address }, at) => {
      return { nodeId: at + 1, clientAddress: address };
    });
    const slotTable = Array.from({ length: LIMITS.slots.value }, (_, slot) => slot % 2);
    for (const [at, { backend }] of [harness, other].entries()) {
      // As the answers of the fake backend say it of the first.
      const shards = [2, 1].map((leaderNodeId, shardId) => {
        return { shardId, leaderNodeId, replicaNodeIds: [] };
      });
      const collection = { routedBy: 'id', slotTable } as const;
      backend.routesOf = () => ({ ...ROUTES, answeredBy: at + 1, nodes, shards, collection });
      backend.before = (call) => {
        const details = { shards: '1' };
        if (call !== 'count') return;
        throw new FlotillaError('SHARD_UNAVAILABLE', 'No answer from shard 1', { details });
      };
    }
    const notes = harness.client({ retry: { attemptsMax: 1 } }).collection('notes');
    let ofFirst = 'a';
    while (slotOfKey(ofFirst) % 2 > 0) ofFirst += 'a';
    const fetchesAt = ({ backend }: Harness) =>
      backend.calls.filter((call) => call === 'fetch').length;
    let seen = 0;
    await waitUntil('calls go to the node that leads', async () => {
      for (let at = 0; at < 6; at++) await notes.fetch([ofFirst]);
      const before = seen;
      seen = fetchesAt(other);
      return seen - before === 6;
    });
    const elsewhere = fetchesAt(harness);
    for (let at = 0; at < 40; at++) {
      expect((await failureOf(notes.count())).reason).toBe('SHARD_UNAVAILABLE');
      await notes.fetch([ofFirst]);
    }
    expect([fetchesAt(other) - seen, fetchesAt(harness) - elsewhere]).toEqual([40, 0]);
  });
});
