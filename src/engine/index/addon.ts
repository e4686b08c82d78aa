/**
 * The native addon: the only file that loads it, and not before it is known that the processor has
 * what the addon was compiled for. An instruction that it lacks ends the process.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch } from 'node:os';
import { dirname, join } from 'node:path';
import type * as hnswlib from 'hnswlib-node';
import { FlotillaError } from '../../shared/errors.js';
import { ADDON_RECORD_NAME, type AddonBuild, addonBuildOf } from './addon-build.js';
import { missingFeatures, type Processor, processorOf } from './processor.js';

export type { HierarchicalNSW, SearchResult } from 'hnswlib-node';

export type Addon = typeof hnswlib;

/** What is installed, and where it would run. */
export interface InstalledAddon {
  readonly build: AddonBuild;
  readonly processor: Processor;
}

const require = createRequire(import.meta.url);
let loaded: Addon | undefined;
/** Files that the addon writes or reads, in threads that end the process when this one is gone. */
const fileWork = new Set<Promise<unknown>>();

/**
 * Loads the addon, the first time. `installed` spares a look at what is installed. Throws
 * UNSUPPORTED_PROCESSOR where it cannot run here.
 */
export function loadAddon(installed?: InstalledAddon): Addon {
  if (loaded !== undefined) return loaded;
  assertRunnable(installed ?? installedAddon());
  loaded = require('hnswlib-node') as Addon;
  return loaded;
}

/** The same promise, which `whenAddonIdle` waits for from now on. */
export function trackFileWork<T>(work: Promise<T>): Promise<T> {
  const forget = (): void => void fileWork.delete(work);
  work.then(forget, forget);
  fileWork.add(work);
  return work;
}

/** Resolves when the addon neither writes nor reads a file: this thread may end now. */
export async function whenAddonIdle(): Promise<void> {
  while (fileWork.size > 0) await Promise.allSettled(fileWork);
}

/** Reads what is installed, without loading it. */
export function installedAddon(): InstalledAddon {
  const release = join(dirname(require.resolve('hnswlib-node/package.json')), 'build', 'Release');
  const record = textOf(join(release, ADDON_RECORD_NAME));
  return {
    build: addonBuildOf(record, readFileSync(join(release, 'addon.node'))),
    processor: processorOf(arch(), textOf('/proc/cpuinfo')),
  };
}

/** UNSUPPORTED_PROCESSOR, naming what is missing, unless the processor has what the addon needs. */
export function assertRunnable({ build, processor }: InstalledAddon): void {
  const missing = missingFeatures(build, processor);
  if (missing.length === 0) return;
  throw new FlotillaError(
    'UNSUPPORTED_PROCESSOR',
    `the index library was compiled for ${build.instructionSet}, ` +
      `and this processor lacks ${missing.join(', ')}`,
  );
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
