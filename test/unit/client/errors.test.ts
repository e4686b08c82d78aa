// Goal: a node counts as silent where nothing was heard of it, and not where it tells of others.
// Method: errors as they come from a connection and as a node answers them, one by one.
import { Metadata, type ServiceError, status as Status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { fromServiceError, isSilence, silentShards } from '../../../src/client/errors.js';
import { toGrpcStatus } from '../../../src/server/error-map.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';

const WRITES = true;

/** As a client has it of a node that answers. */
function answered(reason: ErrorReason, details?: Record<string, string>): FlotillaError {
  const status = toGrpcStatus(new FlotillaError(reason, 'what it is', { details }));
  return fromServiceError(Object.assign(new Error(), status), WRITES, 'host:1');
}

/** As a client has it where nobody answers. */
function unanswered(code: Status): FlotillaError {
  const error = { code, details: 'what it is', metadata: new Metadata() };
  return fromServiceError(Object.assign(new Error(), error) as ServiceError, WRITES, 'host:1');
}

describe('an error', () => {
  it.each([
    ['a connection that is cut', unanswered(Status.UNAVAILABLE)],
    ['a deadline that was kept here', unanswered(Status.DEADLINE_EXCEEDED)],
    ['a node that is not ready', answered('NODE_NOT_READY')],
    ['an address that is not reached', new FlotillaError('NODE_NOT_READY', 'nobody')],
  ])('of %s is silence', (_, error) => {
    expect(isSilence(error)).toBe(true);
  });

  it.each([
    answered('OUTCOME_UNKNOWN'),
    answered('DEADLINE_EXCEEDED'),
    answered('SHARD_UNAVAILABLE', { shards: '3,5' }),
    answered('NO_LEADER'),
    answered('TOO_MANY_REQUESTS'),
    unanswered(Status.CANCELLED),
    unanswered(Status.RESOURCE_EXHAUSTED),
  ])('that a node answers, or its caller makes, is none: $reason', (error) => {
    expect(isSilence(error)).toBe(false);
  });

  it('says that an answer is missing only where the call may have been carried out (D1)', () => {
    const cut = { code: Status.UNAVAILABLE, details: 'cut', metadata: new Metadata() };
    const notBegun = Object.assign(new Error(), cut, { notBegun: true }) as ServiceError;
    expect(unanswered(Status.UNAVAILABLE).body.details).toEqual({ unanswered: 'true' });
    expect(fromServiceError(notBegun, WRITES, 'host:1').body.details).toBeUndefined();
    expect(unanswered(Status.DEADLINE_EXCEEDED).body.details).toBeUndefined();
  });

  it('names the shards that do not answer, and none that only have too much to do', () => {
    expect(silentShards(answered('SHARD_UNAVAILABLE', { shards: '3,5' }))).toEqual([3, 5]);
    expect(silentShards(answered('TOO_MANY_REQUESTS', { shards: '3' }))).toEqual([]);
    expect(silentShards(answered('NO_LEADER'))).toEqual([]);
  });
});
