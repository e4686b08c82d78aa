/** What a plan of capacity is asked for, and within which bounds. */
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { RecordShape } from './capacity-costs.js';
import type { SlotLayout } from './slot-layout.js';
import { DEFAULT_TENANT_LIMITS } from './tenant-limits.js';

const GIBIBYTE = 1024 ** 3;

export interface CapacityInput extends RecordShape {
  /** Records of all collections together, all of `dimension`, without their replicas. */
  readonly vectors: number;
  readonly replicationFactor: number;
  /** What is planned for is `vectors` times this. */
  readonly growth: number;
  readonly nodeMemoryBytes: number;
  readonly nodeDiskBytes: number;
  /** Records that a shard should have at most. */
  readonly shardVectorsMax: number;
  /** How slots are laid out over shards. @default the ring, unless that is too uneven */
  readonly strategy?: SlotLayout['name'];
  readonly tenants?: number;
  /** Both are recommended where they are not given. */
  readonly shards?: number;
  readonly nodes?: number;
}

/** What counts where nothing else is said. */
export const CAPACITY_DEFAULTS = {
  replicationFactor: 3,
  m: 16,
  idBytes: 36,
  metadataBytes: 200,
  indexedFields: 2,
  exactCopy: true,
  growth: 1,
  nodeMemoryBytes: 32 * GIBIBYTE,
  nodeDiskBytes: 1024 * GIBIBYTE,
  shardVectorsMax: DEFAULT_TENANT_LIMITS.vectorsPerShardMax,
} as const satisfies Partial<CapacityInput>;

interface Bounds {
  readonly min: number;
  readonly max: number;
}

export type CapacityNumber = Exclude<keyof CapacityInput, 'exactCopy' | 'strategy'>;

/** Of all numbers, ends included. All are whole but the growth. */
export const CAPACITY_BOUNDS: Readonly<Record<CapacityNumber, Bounds>> = {
  vectors: { min: 1, max: 1e12 },
  dimension: { min: 1, max: LIMITS.dimensionMax.value },
  replicationFactor: { min: 1, max: LIMITS.replicationFactorMax.value },
  m: { min: LIMITS.mMin.value, max: LIMITS.mMax.value },
  idBytes: { min: 1, max: LIMITS.idBytesMax.value },
  metadataBytes: { min: 0, max: LIMITS.metadataBytesMax.value },
  indexedFields: { min: 0, max: LIMITS.indexedFieldsMax.value },
  growth: { min: 1, max: 1_000 },
  nodeMemoryBytes: { min: 1024 ** 2, max: 1024 ** 5 },
  nodeDiskBytes: { min: 1024 ** 2, max: 1024 ** 6 },
  shardVectorsMax: { min: 1, max: 1e12 },
  tenants: { min: 1, max: 1e12 },
  // More than a cluster can have, so that what is too much is explained and not only refused.
  shards: { min: 1, max: 4 * LIMITS.slots.value },
  nodes: { min: 1, max: 4_096 },
};

/** Throws INVALID_REQUEST, naming the field, what was expected and what was given. */
export function checkCapacityInput(input: CapacityInput): void {
  for (const [field, { min, max }] of Object.entries(CAPACITY_BOUNDS)) {
    const value = input[field as CapacityNumber];
    if (value === undefined) continue;
    const isFit = field === 'growth' ? Number.isFinite(value) : Number.isSafeInteger(value);
    if (isFit && value >= min && value <= max) continue;
    const kind = field === 'growth' ? 'number' : 'whole number';
    const message = `${field} is ${value}, it must be a ${kind} from ${min} to ${max}`;
    throw new FlotillaError('INVALID_REQUEST', message, { field });
  }
}
