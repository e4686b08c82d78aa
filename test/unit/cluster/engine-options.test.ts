// Goal: engines of an embedded cluster can be told what the configuration of a node tells its own.
// Method: the options as values.
import { describe, expect, it } from 'vitest';
import { engineConfigOf } from '../../../src/cluster/engine-options.js';

describe('what the engines of an embedded cluster are told', () => {
  it('is what the configuration of a node has where nothing is said', () => {
    expect(engineConfigOf({})).toEqual({ headFloatsMax: 262_144, exactCopy: true });
  });

  it('is what the caller says', () => {
    const said = { headFloatsMax: 4_096, exactCopy: false };
    expect(engineConfigOf(said)).toEqual(said);
  });

  it.each([4_095, 2 ** 30 + 1, 4_096.5, Number.NaN])('is no head of %d floats (P-9)', (floats) => {
    const refused = { reason: 'INVALID_REQUEST', field: 'headFloatsMax' };
    expect(() => engineConfigOf({ headFloatsMax: floats })).toThrow(
      expect.objectContaining(refused),
    );
  });
});
