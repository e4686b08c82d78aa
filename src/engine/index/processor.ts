/** What the processor can do, as far as it matters to the index library. */
import type { AddonBuild, InstructionSet } from './addon-build.js';

export interface Processor {
  /** As Node.js calls it: `x64`, `arm64`, ... */
  readonly architecture: string;
  /** By the names of Linux; empty where the system does not tell. */
  readonly features: ReadonlySet<string>;
}

/** `cpuinfo` is the content of /proc/cpuinfo, where there is one. */
export function processorOf(architecture: string, cpuinfo: string | undefined): Processor {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo ?? '')?.[1] ?? '';
  return { architecture, features: new Set(flags.split(/\s+/).filter((name) => name !== '')) };
}

/** The best of the instruction sets that the library can be compiled for without asking. */
export function bestInstructionSet({ architecture, features }: Processor): InstructionSet {
  if (architecture !== 'x64') return 'plain';
  if (features.size === 0) return 'unknown';
  if (!features.has('avx2') || !features.has('fma')) return 'sse';
  return features.has('avx512f') ? 'avx512' : 'avx2';
}

/** What the build uses and the processor lacks; nothing where the system does not tell. */
export function missingFeatures({ requires }: AddonBuild, { features }: Processor): string[] {
  return features.size === 0 ? [] : requires.filter((feature) => !features.has(feature));
}
