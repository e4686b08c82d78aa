/** Memory a record, each index in a process of its own: the bare library, and engines. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { atMost } from '../harness/bars.js';
import type { Findings } from './findings.js';
import type { MemorySubject, MemoryUse } from './memory-child.js';

/** Times the memory of the bare library. */
const TIMES_MAX = { withCopy: 2.1, withoutCopy: 1.35 };

/** Of glibc: what is freed goes back to the system, and does not hide what is allocated later. */
const ALLOCATOR = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '32768',
  MALLOC_TRIM_THRESHOLD_: '65536',
};

const MEBIBYTE = 1_024 * 1_024;

export interface MemoryOptions {
  readonly dimension: number;
  readonly records: number;
  readonly progress: (line: string) => void;
}

export async function measureMemory(options: MemoryOptions): Promise<Partial<Findings>> {
  const { dimension, records, progress } = options;
  const name = `${dimension}-d memory`;
  progress(`${name}: ${records} records, three processes`);
  const size = { dimension, records };
  const [bare, withCopy, withoutCopy] = await Promise.all([
    memoryOf({ kind: 'bare', exactCopy: false, ...size }),
    memoryOf({ kind: 'engine', exactCopy: true, ...size }),
    memoryOf({ kind: 'engine', exactCopy: false, ...size }),
  ]);
  const engines = [
    { use: withCopy, what: 'engine', timesMax: TIMES_MAX.withCopy },
    { use: withoutCopy, what: 'engine without exact copy', timesMax: TIMES_MAX.withoutCopy },
  ];
  const bytes = (what: string, all: number) => {
    return { name: `${name}: ${what}`, value: Math.round(all / records), unit: 'B a record' };
  };
  return {
    quantities: [
      bytes('bare library', bare.settledBytes),
      ...engines.flatMap(({ what, use }) => [
        {
          name: `${name}: ${what} that is empty`,
          value: use.emptyBytes / MEBIBYTE,
          unit: 'MiB',
        },
        bytes(what, use.settledBytes),
        bytes(`${what}, peak while filled`, use.fillingPeakBytes),
        bytes(`${what}, peak while renewed`, use.renewalPeakBytes ?? 0),
      ]),
    ],
    bars: engines.map(({ what, use, timesMax }) => {
      const times = use.settledBytes / bare.settledBytes;
      return atMost(
        { name: `${name}: ${what} by bare library`, value: times, unit: 'x' },
        timesMax,
      );
    }),
  };
}

async function memoryOf(subject: MemorySubject): Promise<MemoryUse> {
  const path = fileURLToPath(new URL('./memory-child.js', import.meta.url));
  const child = fork(path, [JSON.stringify(subject)], {
    execArgv: ['--expose-gc'],
    env: { ...process.env, ...ALLOCATOR },
  });
  return new Promise((resolve, reject) => {
    let use: MemoryUse | undefined;
    child.once('message', (message) => {
      use = message as MemoryUse;
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (use !== undefined) resolve(use);
      else reject(new Error(`the process that measures memory ended with exit code ${code}`));
    });
  });
}
