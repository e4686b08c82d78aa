// Goal: no figure is kept of an index library that could be faster where it was measured.
// Method: builds and processors as values.
import { describe, expect, it } from 'vitest';
import { assertBestBuild } from '../../../bench/harness/best-build.js';
import { runEngine } from '../../../bench/scenarios/engine.js';
import type { InstalledAddon } from '../../../src/engine/index/addon.js';
import type { InstructionSet } from '../../../src/engine/index/addon-build.js';
import { processorOf } from '../../../src/engine/index/processor.js';

const installed = (instructionSet: InstructionSet, flags: string): InstalledAddon => ({
  build: { instructionSet, requires: [], compiler: '' },
  processor: processorOf('x64', `flags : ${flags}`),
});

const REFUSED = /^A full run needs the best build\. .* Run: npm run build:addon$/;

describe('a full run of the engine', () => {
  it('is refused with the command that mends it, before anything is measured', async () => {
    const lines: string[] = [];
    const progress = (line: string) => void lines.push(line);
    const context = { quick: false, profileDirectory: undefined, progress };
    await expect(runEngine(context, installed('sse', 'avx2 fma'))).rejects.toThrow(REFUSED);
    expect(lines).toEqual([]);
  });

  it.each(['sse', 'unknown'] as const)('wants more than a build that is %s', (built) => {
    expect(() => assertBestBuild(installed(built, 'avx2 fma avx512f'))).toThrow(REFUSED);
  });

  it('is content where nothing can be gained', () => {
    assertBestBuild(installed('avx2', 'avx2 fma'));
    assertBestBuild(installed('native', 'avx2 fma avx512f'));
    assertBestBuild(installed('sse', 'sse2'));
  });
});
