/** The parts of the topology that are about placements, read from its JSON. */

import type { OwnershipUnit } from '../placement/ownership-unit.js';
import type { PlacementCommand, PlacementState } from '../placement/placement-state.js';
import type { RangeTableState } from '../placement/range-table.js';
import { SLOT_STRATEGIES, type SlotLayout } from '../placement/slot-layout.js';
import type { TenantDirectoryState } from '../placement/tenant-directory.js';
import type { TenantLimits } from '../placement/tenant-limits.js';
import { unreachable } from '../shared/assert.js';
import { ERRORS, type ErrorReason } from '../shared/error-codes.js';
import type { ListChange, OwnershipChange } from '../shared/ownership.js';
import type { ErrorBody } from '../shared/types.js';
import type { TenantCommand } from './document.js';
import type { JsonNode } from './json-node.js';
import {
  type OwnershipStep,
  type PlacementEntry,
  type Placements,
  TENANT_CHANGE_STAGES,
  type TenantAction,
  type TenantAuditEntry,
  type TenantChange,
} from './placements.js';

const ROUTED_BY = ['id', 'shardKey'] as const;
const REASONS = Object.keys(ERRORS) as readonly ErrorReason[];

export function readPlacements(node: JsonNode): Placements {
  const change = node.optional('change');
  return {
    entries: node.field('entries').list(readEntry),
    nextPlacementId: node.field('nextPlacementId').whole(1),
    nextChangeId: node.field('nextChangeId').whole(1),
    audit: node.field('audit').list(readAuditEntry),
    ...(change !== undefined && { change: readChange(change) }),
  };
}

export function readTenantCommand(node: JsonNode, kind: TenantCommand['kind']): TenantCommand {
  switch (kind) {
    case 'beginTenantChange':
      return {
        kind,
        action: readAction(node.field('action')),
        by: node.field('by').text(),
        atMs: node.field('atMs').whole(0),
      };
    case 'decideTenantChange':
      return { kind, changeId: node.field('changeId').whole(1), ...readRefusal(node) };
    case 'finishTenantChange':
      return { kind, changeId: node.field('changeId').whole(1) };
    default:
      return unreachable(kind, 'tenant command');
  }
}

function readEntry(node: JsonNode): PlacementEntry {
  return {
    placementId: node.field('placementId').whole(1),
    state: readState(node.field('state')),
  };
}

function readState(node: JsonNode): PlacementState {
  const kind = node.field('kind').oneOf(['slots', 'ranges', 'tenants']);
  const table = node.field('table');
  switch (kind) {
    case 'slots':
      return {
        kind,
        routedBy: node.field('routedBy').oneOf(ROUTED_BY),
        layout: readLayout(node.field('layout')),
        table: readSlotTable(table),
      };
    case 'ranges':
      return { kind, routedBy: node.field('routedBy').oneOf(ROUTED_BY), table: readRanges(table) };
    case 'tenants':
      return {
        kind,
        routedBy: 'tenant',
        layout: readLayout(node.field('layout')),
        limits: readLimits(node.field('limits')),
        table: readDirectory(table),
      };
    default:
      return unreachable(kind, 'placement');
  }
}

function readLayout(node: JsonNode): SlotLayout {
  const name = node.field('name').oneOf(SLOT_STRATEGIES);
  return name === 'ring' ? { name, virtualNodes: node.field('virtualNodes').whole(1) } : { name };
}

function readLimits(node: JsonNode): TenantLimits {
  return {
    tenantsPerShardMax: node.field('tenantsPerShardMax').whole(1),
    tenantsPerShardWarning: node.field('tenantsPerShardWarning').whole(1),
    vectorsPerShardMax: node.field('vectorsPerShardMax').whole(1),
  };
}

function readRanges(node: JsonNode): RangeTableState {
  return {
    ranges: node.field('ranges').list((range) => ({
      rangeId: range.field('rangeId').whole(1),
      from: range.field('from').text(),
      shardId: range.field('shardId').whole(0),
    })),
    nextRangeId: node.field('nextRangeId').whole(1),
  };
}

function readDirectory(node: JsonNode): TenantDirectoryState {
  return {
    slotTable: readSlotTable(node.field('slotTable')),
    assignments: node.field('assignments').list((one) => ({
      tenant: one.field('tenant').text(),
      shardId: one.field('shardId').whole(0),
    })),
    dedicatedShardIds: node.field('dedicatedShardIds').list((one) => one.whole(0)),
  };
}

function readSlotTable(node: JsonNode): number[] {
  return node.list((slot) => slot.whole(0));
}

function readAction(node: JsonNode): TenantAction {
  const kind = node
    .field('kind')
    .oneOf(['assignTenant', 'releaseTenant', 'dedicateShard', 'shareShard']);
  switch (kind) {
    case 'assignTenant':
      return { kind, tenant: node.field('tenant').text(), shardId: readShardId(node) };
    case 'releaseTenant':
      return { kind, tenant: node.field('tenant').text() };
    case 'dedicateShard':
    case 'shareShard':
      return { kind, shardId: readShardId(node) };
    default:
      return unreachable(kind, 'tenant action');
  }
}

function readPlacementCommand(node: JsonNode): PlacementCommand {
  const kind = node
    .field('kind')
    .oneOf(['moveUnit', 'assignTenant', 'releaseTenant', 'dedicateShard', 'shareShard']);
  if (kind !== 'moveUnit') return readAction(node);
  return {
    kind,
    unit: readUnit(node.field('unit')),
    fromShardId: node.field('fromShardId').whole(0),
    toShardId: node.field('toShardId').whole(0),
  };
}

function readUnit(node: JsonNode): OwnershipUnit {
  const kind = node.field('kind').oneOf(['slot', 'tenant', 'range']);
  switch (kind) {
    case 'slot':
      return { kind, slot: node.field('slot').whole(0) };
    case 'tenant':
      return { kind, tenant: node.field('tenant').text() };
    case 'range':
      return { kind, rangeId: node.field('rangeId').whole(1) };
    default:
      return unreachable(kind, 'unit');
  }
}

function readChange(node: JsonNode): TenantChange {
  return {
    changeId: node.field('changeId').whole(1),
    placementId: node.field('placementId').whole(1),
    action: readAction(node.field('action')),
    commands: node.field('commands').list(readPlacementCommand),
    steps: node.field('steps').list(readStep),
    stage: node.field('stage').oneOf(TENANT_CHANGE_STAGES),
    by: node.field('by').text(),
    atMs: node.field('atMs').whole(0),
  };
}

function readStep(node: JsonNode): OwnershipStep {
  return {
    shardId: readShardId(node),
    ownershipVersion: node.field('ownershipVersion').whole(1),
    change: readOwnershipChange(node.field('change')),
  };
}

function readOwnershipChange(node: JsonNode): OwnershipChange {
  return {
    units: readListChange(node.field('units'), (one) => one.whole(0)),
    here: readListChange(node.field('here'), (one) => one.text()),
    elsewhere: readListChange(node.field('elsewhere'), (one) => one.text()),
  };
}

function readListChange<T>(node: JsonNode, read: (one: JsonNode) => T): ListChange<T> {
  return { added: node.field('added').list(read), removed: node.field('removed').list(read) };
}

function readAuditEntry(node: JsonNode): TenantAuditEntry {
  const fromShardId = node.optional('fromShardId')?.whole(0);
  return {
    changeId: node.field('changeId').whole(1),
    action: readAction(node.field('action')),
    ...(fromShardId !== undefined && { fromShardId }),
    by: node.field('by').text(),
    atMs: node.field('atMs').whole(0),
    ...readRefusal(node),
  };
}

function readRefusal(node: JsonNode): { readonly refused?: ErrorBody } {
  const refused = node.optional('refused');
  if (refused === undefined) return {};
  const reason = refused.field('reason').oneOf(REASONS);
  return { refused: { reason, message: refused.field('message').text() } };
}

function readShardId(node: JsonNode): number {
  return node.field('shardId').whole(0);
}
