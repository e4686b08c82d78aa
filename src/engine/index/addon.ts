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
import { INSTALL_COMMAND, nativeLibraryMissing } from '../../shared/native-library.js';
import { ADDON_RECORD_NAME, type AddonBuild, addonBuildOf } from './addon-build.js';
import { missingFeatures, type Processor, processorOf } from './processor.js';

export type { HierarchicalNSW, SearchResult } from 'hnswlib-node';

export type Addon = typeof hnswlib;

/** What is installed, and where it would run. */
export interface InstalledAddon {
  readonly build: AddonBuild;
  readonly processor: Processor;
}

const PACKAGE = 'hnswlib-node';

const require = createRequire(import.meta.url);
let loaded: Addon | undefined;
/** Files that the addon writes or reads, in threads that end the process when this one is gone. */
const fileWork = new Set<Promise<unknown>>();

/**
 * Loads the addon, the first time. `installed` spares a look at what is installed. Throws
 * UNSUPPORTED_PROCESSOR where it cannot run here, and NATIVE_LIBRARY_MISSING where there is none.
 */
export function loadAddon(installed?: InstalledAddon): Addon {
  if (loaded !== undefined) return loaded;
  assertRunnable(installed ?? installedAddon());
  try {
    loaded = require(PACKAGE) as Addon;
  } catch (error) {
    throw nativeLibraryMissing(PACKAGE, 'cannot be loaded', buildCommand(), error);
  }
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

/**
 * Reads what is installed, without loading it. Throws NATIVE_LIBRARY_MISSING. The package is an
 * optional one, which the file of the URL `from` has to find.
 */
export function installedAddon(from: string = import.meta.url): InstalledAddon {
  const release = join(packageDirectory(from), 'build', 'Release');
  const record = textOf(join(release, ADDON_RECORD_NAME));
  return {
    build: addonBuildOf(record, bytesOf(join(release, 'addon.node'))),
    processor: processorOf(arch(), textOf('/proc/cpuinfo')),
  };
}

/** What compiles the addon anew. npm finds the directory that scripts of a package run in. */
export function buildCommand(): string {
  const isInstalled = new URL(import.meta.url).pathname.includes('/node_modules/');
  return isInstalled ? 'npm explore flotilla -- npm run build:addon' : 'npm run build:addon';
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

function packageDirectory(from: string): string {
  try {
    return dirname(createRequire(from).resolve(`${PACKAGE}/package.json`));
  } catch (error) {
    throw nativeLibraryMissing(PACKAGE, 'is not installed', INSTALL_COMMAND, error);
  }
}

function bytesOf(addonPath: string): Uint8Array {
  try {
    return readFileSync(addonPath);
  } catch (error) {
    throw nativeLibraryMissing(PACKAGE, 'is not compiled', buildCommand(), error);
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
