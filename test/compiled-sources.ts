/**
 * What tests import from `src` is the compiled code, the same that threads, child processes and the
 * package `flotilla` run. Node loads it as it is: a module costs no transformation, and calls from
 * module to module do not go through getters, as they do in sources that Vite runs.
 */
import { dirname, join, resolve, sep } from 'node:path';
import type { Plugin } from 'vitest/config';

const SOURCES = resolve('src') + sep;
const COMPILED = resolve('dist') + sep;

/** Paths of modules that Node loads as they are. */
export const COMPILED_MODULES = new RegExp(`^${COMPILED.replaceAll(/\W/g, '\\$&')}`);

/** Leads every relative import of a file of `src` to its twin in `dist`. */
export function compiledSources(): Plugin {
  return {
    name: 'compiled-sources',
    enforce: 'pre',
    resolveId(specifier, importer) {
      if (importer === undefined || !specifier.startsWith('.')) return undefined;
      const path = join(dirname(importer), specifier);
      return path.startsWith(SOURCES) ? COMPILED + path.slice(SOURCES.length) : undefined;
    },
  };
}
