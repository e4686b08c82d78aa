/** Whether the index library here is worth a measurement. */
import type { InstalledAddon } from '../../src/engine/index/addon.js';
import { instructionSetsOf, remedyOf } from '../../src/engine/index/index-library.js';

/**
 * Throws, with the command that mends it, where the processor can do better than the library makes
 * use of: what is kept of such a run would stand beside figures that it cannot be compared with.
 */
export function assertBestBuild(installed: InstalledAddon): void {
  const remedy = remedyOf(instructionSetsOf(installed));
  if (remedy !== undefined) throw new Error(`A full run needs the best build. ${remedy}`);
}
