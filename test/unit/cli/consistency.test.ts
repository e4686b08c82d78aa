// Goal: `--consistency` says each level of freshness, and refuses what is none.
// Method: the option's own parser on words by hand.
import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { consistencyOption } from '../../../src/cli/options.js';
import { LIMITS } from '../../../src/shared/limits.js';

const parse = (text: string): unknown => consistencyOption().parseArg?.(text, undefined);

describe('--consistency', () => {
  it.each([
    ['strong', 'strong'],
    ['leased', 'leased'],
    ['eventual', 'eventual'],
    ['bounded:1', { boundedMs: 1 }],
    [`bounded:${LIMITS.boundedMsMax.value}`, { boundedMs: LIMITS.boundedMsMax.value }],
    ['session:AQEB-_x', { session: 'AQEB-_x' }],
  ])('takes %s', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it.each([
    '',
    'weak',
    'session',
    'session:',
    'bounded',
    'bounded:',
    'bounded:0',
    'bounded:1.5',
    'bounded:-1',
    `bounded:${LIMITS.boundedMsMax.value + 1}`,
    'eventual:3',
    'strong:',
  ])('refuses "%s"', (text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
  });
});
