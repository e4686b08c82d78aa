import { createRequire } from 'node:module';

/**
 * Version of the package, from its package.json. Found by the package's own name: this file lies
 * at another depth in each build.
 */
export const VERSION: string = (
  createRequire(import.meta.url)('flotilla/package.json') as { version: string }
).version;
