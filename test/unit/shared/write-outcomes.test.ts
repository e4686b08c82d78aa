// Goal: a write that has failed as a whole says no more than what is true of all its records (D1).
// Method: outcomes as shards give them, in either order.
import { describe, expect, it } from 'vitest';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import { errorOfOutcomes } from '../../../src/shared/write-outcomes.js';

const away = failed('NO_LEADER', { untouched: 'true', shards: '0' });
const busy = failed('TOO_MANY_REQUESTS', { shards: '1' });

describe('the error of a write', () => {
  it('says that nobody has worked on it only where that is so of every record (D1)', () => {
    expect(errorOfOutcomes([away, away]).body.details).toMatchObject({ untouched: 'true' });
    for (const outcomes of [
      [away, busy],
      [busy, away],
    ]) {
      expect(errorOfOutcomes(outcomes).body.details).not.toHaveProperty('untouched');
    }
  });

  it('keeps what else its record tells', () => {
    const { reason, body } = errorOfOutcomes([away, busy]);
    expect(reason).toBe('NO_LEADER');
    expect(body.details).toEqual({ shards: '0' });
  });
});

function failed(
  reason: FlotillaError['reason'],
  details: Readonly<Record<string, string>>,
): WriteOutcome {
  return { kind: 'not-applied', error: new FlotillaError(reason, 'not now', { details }).body };
}
