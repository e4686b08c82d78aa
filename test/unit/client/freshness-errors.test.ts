// Goal: what errors tell of how fresh a read may be is not lost on the client.
// Method: a server with a backend that fails as the test says, and the requests that it receives.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeSessionToken, withSeen } from '../../../src/shared/codec/session-token.js';
import { TOO_SLOW } from '../../../src/shared/consistency.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness[Symbol.asyncDispose]());

describe('a read that takes longer than its bound', () => {
  it('is not sent again, neither to this node nor to another', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('SHARD_UNAVAILABLE', 'no shard is so fast', { details: TOO_SLOW });
    };
    const count = harness
      .client()
      .collection('notes')
      .count({ consistency: { boundedMs: 1 } });
    expect(await failureOf(count)).toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
    expect(harness.backend.calls).toHaveLength(1);
  });
});

describe('a write whose condition did not hold', () => {
  it('is in the session of its client, for the read that follows (R13)', async () => {
    const seen = [{ shardId: 0, ownershipVersion: 1, appliedIndex: 42 }];
    const conflict = new FlotillaError('VERSION_CONFLICT', 'it was written meanwhile', {
      details: { currentVersion: '7' },
    });
    harness.backend.before = () => {
      throw withSeen(conflict, seen);
    };
    const client = harness.client();
    const write = client.collection('notes').delete([{ id: 'a', ifVersion: '6' }]);
    expect(await failureOf(write)).toMatchObject({
      reason: 'VERSION_CONFLICT',
      body: { details: { currentVersion: '7' } },
    });
    expect(client.sessionToken).toBe(encodeSessionToken(seen));
  });
});
