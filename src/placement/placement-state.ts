/**
 * A placement as the topology holds it: what the collection chose, and the table as it is now. All
 * of it is plain data. Every change is one command that touches one unit or one entry, so that
 * replicas of the topology that apply the same commands have the same tables.
 */
import { unreachable } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import type { RoutedBy } from '../shared/types.js';
import type { UnitMove } from './ownership-unit.js';
import { RangeStrategy } from './range-strategy.js';
import { RangeTable, type RangeTableState, rangeTableFault } from './range-table.js';
import { checkLayout, type SlotLayout, slotStrategy } from './slot-layout.js';
import { SLOTS, SlotTable } from './slot-table.js';
import type { Placement, ShardChange } from './strategy.js';
import {
  TenantDirectory,
  type TenantDirectoryState,
  tenantDirectoryFault,
} from './tenant-directory.js';
import { type TenantLimits, tenantLimitsFault } from './tenant-limits.js';
import { TenantStrategy } from './tenant-strategy.js';

interface SlotSpec {
  readonly kind: 'slots';
  readonly routedBy: Exclude<RoutedBy, 'tenant'>;
  readonly layout: SlotLayout;
}

interface RangeSpec {
  readonly kind: 'ranges';
  readonly routedBy: Exclude<RoutedBy, 'tenant'>;
}

interface TenantSpec {
  readonly kind: 'tenants';
  readonly routedBy: 'tenant';
  /** Of the tenants that are assigned to no shard. */
  readonly layout: SlotLayout;
  readonly limits: TenantLimits;
}

/** What a collection names when it is created. */
export type PlacementSpec =
  | SlotSpec
  | (RangeSpec & {
      /** The first keys of all ranges but the first; may be empty. */
      readonly splitPoints: readonly string[];
    })
  | TenantSpec;

export type PlacementState =
  | (SlotSpec & {
      /** Shard of each slot. */
      readonly table: readonly number[];
    })
  | (RangeSpec & { readonly table: RangeTableState })
  | (TenantSpec & { readonly table: TenantDirectoryState });

/** How a placement changes. Plain data: it becomes part of topology entries. */
export type PlacementCommand =
  | ({ readonly kind: 'moveUnit' } & UnitMove)
  | { readonly kind: 'splitRange'; readonly rangeId: number; readonly at: string }
  | {
      readonly kind: 'mergeRanges';
      readonly leftRangeId: number;
      readonly rightRangeId: number;
    }
  | { readonly kind: 'assignTenant'; readonly tenant: string; readonly shardId: number }
  | { readonly kind: 'releaseTenant'; readonly tenant: string }
  | { readonly kind: 'dedicateShard'; readonly shardId: number }
  | { readonly kind: 'shareShard'; readonly shardId: number };

/**
 * The state that a collection starts with on these shards. Depends on the set of shards only.
 * Throws INVALID_REQUEST or LIMIT_EXCEEDED, naming the field, for a layout, split points or limits
 * that make no placement.
 */
export function createPlacement(spec: PlacementSpec, shardIds: readonly number[]): PlacementState {
  switch (spec.kind) {
    case 'slots':
      checkLayout(spec.layout);
      return { ...spec, table: slotStrategy(spec.layout).place(shardIds).shardIds };
    case 'ranges': {
      const { kind, routedBy, splitPoints } = spec;
      return { kind, routedBy, table: new RangeStrategy(splitPoints).place(shardIds).state };
    }
    case 'tenants':
      checkLayout(spec.layout);
      checkLimits(spec.limits);
      return { ...spec, table: tenantStrategy(spec).place(shardIds).state };
    default:
      return unreachable(spec, 'placement');
  }
}

/**
 * The placement to look keys up in. Open it once for each version of the state, not for each key:
 * it costs the ranges or the assignments. The state must be sound (`placementFault`).
 */
export function openPlacement(state: PlacementState): Placement {
  switch (state.kind) {
    case 'slots':
      return new SlotTable(state.table);
    case 'ranges':
      return new RangeTable(state.table);
    case 'tenants':
      return new TenantDirectory(state.table);
    default:
      return unreachable(state, 'placement');
  }
}

/** What has to move when shards join or leave: see `PlacementStrategy.unitMoves`. */
export function unitMovesOf(state: PlacementState, change: ShardChange): UnitMove[] {
  switch (state.kind) {
    case 'slots':
      return slotStrategy(state.layout).unitMoves(new SlotTable(state.table), change);
    case 'ranges':
      return new RangeStrategy().unitMoves(new RangeTable(state.table), change);
    case 'tenants':
      return tenantStrategy(state).unitMoves(new TenantDirectory(state.table), change);
    default:
      return unreachable(state, 'placement');
  }
}

/**
 * The state after a command; the very same object where the command holds already. Throws
 * INVALID_REQUEST or LIMIT_EXCEEDED, and nothing has changed, for a command that the placement
 * refuses: what `SlotTable`, `RangeTable` and `TenantDirectory` say of their transitions. Whether
 * the shards exist is for the topology to check.
 */
export function applyPlacementCommand(
  state: PlacementState,
  command: PlacementCommand,
): PlacementState {
  switch (state.kind) {
    case 'slots': {
      if (command.kind !== 'moveUnit') throw notOfKind(state, command);
      const table = new SlotTable(state.table).moved(command).shardIds;
      return table === state.table ? state : { ...state, table };
    }
    case 'ranges': {
      const table = changedRanges(state, command).state;
      return table === state.table ? state : { ...state, table };
    }
    case 'tenants':
      return withTable(state, changedDirectory(state, command).state);
    default:
      return unreachable(state, 'placement');
  }
}

/**
 * The state after all of the commands, as `applyPlacementCommand` has it. Moves of slots before all
 * others cost a tenant directory as much as one of them.
 */
export function applyPlacementCommands(
  state: PlacementState,
  commands: readonly PlacementCommand[],
): PlacementState {
  const moves = leadingMoves(commands);
  const moved =
    state.kind === 'tenants' && moves.length > 0
      ? withTable(state, new TenantDirectory(state.table).movedAll(moves).state)
      : moves.reduce(applyPlacementCommand, state);
  return commands.slice(moves.length).reduce(applyPlacementCommand, moved);
}

function leadingMoves(
  commands: readonly PlacementCommand[],
): Extract<PlacementCommand, { readonly kind: 'moveUnit' }>[] {
  const moves: Extract<PlacementCommand, { readonly kind: 'moveUnit' }>[] = [];
  for (const command of commands) {
    if (command.kind !== 'moveUnit') break;
    moves.push(command);
  }
  return moves;
}

function withTable(
  state: Extract<PlacementState, { kind: 'tenants' }>,
  table: TenantDirectoryState,
): PlacementState {
  return table === state.table ? state : { ...state, table };
}

function changedRanges(
  state: Extract<PlacementState, { kind: 'ranges' }>,
  command: PlacementCommand,
): RangeTable {
  const ranges = new RangeTable(state.table);
  switch (command.kind) {
    case 'moveUnit':
      return ranges.moved(command);
    case 'splitRange':
      return ranges.split(command.rangeId, command.at);
    case 'mergeRanges':
      return ranges.merge(command.leftRangeId, command.rightRangeId);
    case 'assignTenant':
    case 'releaseTenant':
    case 'dedicateShard':
    case 'shareShard':
      throw notOfKind(state, command);
    default:
      return unreachable(command, 'placement command');
  }
}

function changedDirectory(
  state: Extract<PlacementState, { kind: 'tenants' }>,
  command: PlacementCommand,
): TenantDirectory {
  const directory = new TenantDirectory(state.table);
  switch (command.kind) {
    case 'moveUnit':
      return directory.moved(command);
    case 'assignTenant':
      return directory.assign(command.tenant, command.shardId);
    case 'releaseTenant':
      return directory.release(command.tenant);
    case 'dedicateShard':
      return directory.dedicate(command.shardId);
    case 'shareShard':
      return directory.share(command.shardId);
    case 'splitRange':
    case 'mergeRanges':
      throw notOfKind(state, command);
    default:
      return unreachable(command, 'placement command');
  }
}

/**
 * What is wrong with a state in a cluster of these shards, as one sentence; undefined for a sound
 * one. Field types are a codec's business. Linear in the state.
 */
export function placementFault(
  state: PlacementState,
  shardIds: readonly number[],
): string | undefined {
  const fault = tableFault(state);
  if (fault !== undefined) return fault;
  const known = new Set(shardIds);
  const lost = shardsNamed(state).find((shardId) => !known.has(shardId));
  return lost === undefined ? undefined : `shard ${lost} does not exist`;
}

function tableFault(state: PlacementState): string | undefined {
  switch (state.kind) {
    case 'slots':
      return state.table.length === SLOTS ? undefined : `the table has ${state.table.length} slots`;
    case 'ranges':
      return rangeTableFault(state.table);
    case 'tenants':
      return tenantDirectoryFault(state.table) ?? tenantLimitsFault(state.limits);
    default:
      return unreachable(state, 'placement');
  }
}

/** In any order, with repetitions. */
function shardsNamed(state: PlacementState): number[] {
  switch (state.kind) {
    case 'slots':
      return [...state.table];
    case 'ranges':
      return state.table.ranges.map(({ shardId }) => shardId);
    case 'tenants': {
      const { slotTable, assignments, dedicatedShardIds } = state.table;
      return [...slotTable, ...assignments.map(({ shardId }) => shardId), ...dedicatedShardIds];
    }
    default:
      return unreachable(state, 'placement');
  }
}

function tenantStrategy({ layout }: TenantSpec): TenantStrategy {
  return new TenantStrategy(slotStrategy(layout));
}

function checkLimits(limits: TenantLimits): void {
  const fault = tenantLimitsFault(limits);
  if (fault !== undefined) throw new FlotillaError('INVALID_REQUEST', fault, { field: 'limits' });
}

function notOfKind(state: PlacementState, command: PlacementCommand): FlotillaError {
  const message = `A placement by ${state.kind} knows no command ${command.kind}`;
  return new FlotillaError('INVALID_REQUEST', message, { field: 'kind' });
}
