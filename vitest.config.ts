import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { COMPILED_MODULES, compiledSources } from './test/compiled-sources.js';

const LEFT_OUT = ['test/process/**', 'test/docker/**', 'node_modules/**'];
const SIMULATORS = 'test/sim/**/*.test.ts';

const COMMON = {
  server: { deps: { external: [COMPILED_MODULES] } },
  // Native addons live in worker threads of the code under test: a crash of one ends its process,
  // and with it the files that this one had still to serve, but not those of others.
  pool: 'forks' as const,
  testTimeout: 60_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    // Many files wait as long as they compute: two processors have room for two of them.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        plugins: [compiledSources()],
        test: {
          ...COMMON,
          name: 'rooms',
          include: ['test/**/*.test.ts'],
          exclude: [...LEFT_OUT, SIMULATORS],
          // A process serves one file after the other: what they import is loaded once.
          isolate: false,
        },
      },
      {
        plugins: [compiledSources()],
        // They ban the clock and the timers of the process, which others may leave running.
        test: { ...COMMON, name: 'simulators', include: [SIMULATORS] },
      },
    ],
  },
});
