// Goal: an outcome is never better than what is known (P-2).
// Method: the ledger's rules one by one.
import { describe, expect, it } from 'vitest';
import { WriteLedger } from '../../../src/router/write-ledger.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { ErrorBody, WriteOutcome } from '../../../src/shared/types.js';

const records = [{ ordinal: 0 }, { ordinal: 1 }];
const applied = (version: bigint): WriteOutcome => ({ kind: 'applied', version, existed: false });
const noLeader = new FlotillaError('NO_LEADER', 'none');
const invalid = new FlotillaError('NOT_FINITE', 'NaN');

describe('WriteLedger', () => {
  it('calls a record not applied only when no attempt can have had an effect (P-2)', () => {
    const ledger = new WriteLedger(2);
    ledger.decide(0, applied(1n));
    ledger.sent(records);
    ledger.sent(records);
    ledger.withoutEffect(records);
    ledger.withoutEffect(records);
    ledger.giveUp(records, noLeader);
    expect(ledger.outcomes()).toEqual([applied(1n), { kind: 'not-applied', error: noLeader.body }]);
  });

  it('calls a record unknown while one of its attempts is open, and says so in the error', () => {
    const ledger = new WriteLedger(2);
    ledger.decide(0, applied(1n));
    ledger.sent(records);
    ledger.sent(records);
    ledger.withoutEffect(records);
    ledger.giveUp(records, noLeader);
    expect(ledger.outcomes()[1]).toMatchObject({
      kind: 'unknown',
      error: { reason: 'OUTCOME_UNKNOWN', details: { reason: 'NO_LEADER' } },
    });
  });

  it('keeps the first outcome that a log told, whatever comes later', () => {
    const ledger = new WriteLedger(1);
    ledger.decide(0, applied(1n));
    ledger.decide(0, applied(2n));
    ledger.giveUp([{ ordinal: 0 }], noLeader);
    expect(ledger.outcomes()).toEqual([applied(1n)]);
  });

  it('throws the unknown first, then what the caller can mend, then what a retry can', () => {
    const failing = (prepare: (ledger: WriteLedger) => void): FlotillaError => {
      const ledger = new WriteLedger(2);
      prepare(ledger);
      try {
        ledger.outcomes();
      } catch (error) {
        return error as FlotillaError;
      }
      throw new Error('nothing was thrown');
    };
    const mixed = failing((ledger) => {
      ledger.giveUp([{ ordinal: 0 }], invalid);
      ledger.sent([{ ordinal: 1 }]);
      ledger.giveUp([{ ordinal: 1 }], noLeader);
    });
    expect(mixed).toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    const mendable = failing((ledger) => {
      ledger.giveUp([{ ordinal: 0 }], noLeader);
      ledger.giveUp([{ ordinal: 1 }], invalid);
    });
    expect(mendable).toMatchObject({ reason: 'NOT_FINITE', outcome: 'not-applied' });
    const retryable = failing((ledger) => ledger.giveUp(records, noLeader));
    expect(retryable).toMatchObject({ reason: 'NO_LEADER', retryable: true });
  });

  it('names the record in an error that is its own, and in no other (P-9)', () => {
    const thrownOf = (body: ErrorBody): FlotillaError => {
      const ledger = new WriteLedger(2);
      ledger.decide(0, { kind: 'not-applied', error: noLeader.body });
      ledger.decide(1, { kind: 'not-applied', error: body });
      try {
        ledger.outcomes([], (at) => ({ field: `records[${at}]`, id: `id-${at}` }));
      } catch (error) {
        return error as FlotillaError;
      }
      throw new Error('nothing was thrown');
    };
    expect(thrownOf(invalid.body)).toMatchObject({
      field: 'records[1]',
      message: 'records[1] (id "id-1"): NaN',
    });
    expect(thrownOf({ ...invalid.body, field: 'mode' })).toMatchObject({
      field: 'mode',
      message: 'NaN',
    });
    const disk = new FlotillaError('DISK_FULL', 'no room');
    expect(thrownOf(disk.body)).toMatchObject({ field: undefined, message: 'none' });
  });

  it('calls a record unknown when the shard has forgotten the key of the write', () => {
    const ledger = new WriteLedger(2);
    ledger.decide(0, applied(1n));
    ledger.giveUp(records, new FlotillaError('SESSION_EXPIRED', 'forgotten'));
    expect(ledger.outcomes()[1]).toMatchObject({
      kind: 'unknown',
      error: { reason: 'SESSION_EXPIRED' },
    });
  });

  it('has no outcomes for no records', () => {
    expect(new WriteLedger(0).outcomes()).toEqual([]);
  });
});
