/** What the index library was compiled for: scripts/build-addon.mjs notes it beside the addon. */
import { createHash } from 'node:crypto';

/** File name of the record, in the addon's directory. */
export const ADDON_RECORD_NAME = 'addon-build.json';

const RECORD_FORMAT = 1;

/**
 * `sse` is what every x64 processor has, `plain` what every other of its kind has. `native` took
 * all that the processor of the build had. `unknown`: nobody has noted it.
 */
export const INSTRUCTION_SETS = ['sse', 'avx2', 'avx512', 'native', 'plain', 'unknown'] as const;

export type InstructionSet = (typeof INSTRUCTION_SETS)[number];

export interface AddonBuild {
  readonly instructionSet: InstructionSet;
  /** What the processor must have, by the names that Linux gives; see `Processor`. */
  readonly requires: readonly string[];
  /** Name and version; empty where not known. */
  readonly compiler: string;
}

const UNKNOWN: AddonBuild = { instructionSet: 'unknown', requires: [], compiler: '' };

/**
 * The build by its record. `unknown` where there is none, it cannot be read, or it is of another
 * file: somebody has compiled the addon again.
 */
export function addonBuildOf(record: string | undefined, addon: Uint8Array): AddonBuild {
  const fields = record === undefined ? undefined : parsedRecord(record);
  if (fields?.format !== RECORD_FORMAT || fields.sha256 !== checksumOf(addon)) return UNKNOWN;
  const instructionSet = INSTRUCTION_SETS.find((known) => known === fields.instructionSet);
  const { requires, compiler } = fields;
  if (instructionSet === undefined || !isStrings(requires)) return UNKNOWN;
  return { instructionSet, requires, compiler: typeof compiler === 'string' ? compiler : '' };
}

function parsedRecord(record: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(record);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function checksumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
