// Goal: a node says at its start what its index library is, and the command that makes it faster.
// Method: builds and processors as values, a clock that counts, a logger that keeps its lines.
import { describe, expect, it } from 'vitest';
import type { InstalledAddon } from '../../../src/engine/index/addon.js';
import type { AddonBuild } from '../../../src/engine/index/addon-build.js';
import { type Processor, processorOf } from '../../../src/engine/index/processor.js';
import { libraryStatsOf, openIndexLibrary } from '../../../src/node/start-node.js';
import { type Logger, silentLogger } from '../../../src/shared/logger.js';

const HASWELL = processorOf('x64', 'flags : fpu sse2 avx avx2 fma');
const OLD = processorOf('x64', 'flags : fpu sse2 avx');

function linesOf(instructionSet: AddonBuild['instructionSet'], processor: Processor) {
  const lines: { level: string; fields: object; message: string }[] = [];
  const keep = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  const logger: Logger = {
    ...silentLogger,
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  };
  let nowMs = 0;
  const clock = { wallMs: () => 0, monotonicMs: () => (nowMs += 2) };
  const build: AddonBuild = { instructionSet, requires: [], compiler: 'g++ 12' };
  const installed: InstalledAddon = { build, processor };
  return { lines, library: openIndexLibrary(clock, logger, installed) };
}

describe('the index library of a node that starts', () => {
  const described = (built: string, machine: string) => ({
    level: 'info',
    // Four searches of 512 points in each span of 2 ms.
    fields: { built, machine, compiler: 'g++ 12', distancesPerSecond: 1_024_000 },
    message: 'the index library is ready',
  });

  it.each(['sse', 'unknown'] as const)('is told, and what mends it where it is %s', (built) => {
    const { lines } = linesOf(built, HASWELL);
    expect(lines).toEqual([
      described(built, 'avx2'),
      { level: 'warn', fields: {}, message: expect.stringMatching(/Run: npm run build:addon$/) },
    ]);
  });

  it('is told without a warning where there is nothing to mend', () => {
    expect(linesOf('avx2', HASWELL).lines).toEqual([described('avx2', 'avx2')]);
    expect(linesOf('sse', OLD).lines).toEqual([described('sse', 'sse')]);
  });

  it('goes to status and metrics as it was told', () => {
    const { library } = linesOf('avx2', HASWELL);
    expect(libraryStatsOf(library)).toEqual({
      instructionSet: 'avx2',
      distancesPerSecond: 1_024_000,
    });
  });
});
