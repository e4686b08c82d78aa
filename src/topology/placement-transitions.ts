/**
 * How placements come with collections and go, and how the tenant directory changes: pure functions
 * of the document. They return the next document without its epoch, the very same object where
 * nothing changes, or the error that a command is refused with.
 *
 * A change of the directory goes `fencing -> opening -> done` or `fencing -> lifting -> refused`.
 * The entry that decides is the only one that counts: shards open and lift after it, as often as
 * it takes (O1).
 */

import { isDeepStrictEqual } from 'node:util';
import {
  applyPlacementCommands,
  createPlacement,
  type PlacementCommand,
  type PlacementSpec,
} from '../placement/placement-state.js';
import { slotStrategy } from '../placement/slot-layout.js';
import { TenantDirectory } from '../placement/tenant-directory.js';
import { TenantStrategy } from '../placement/tenant-strategy.js';
import { assert, defined, unreachable } from '../shared/assert.js';
import { utf8Length } from '../shared/bytes.js';
import { FlotillaError, isFlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { isNoChange, mayLose, ownershipChange } from '../shared/ownership.js';
import type { CollectionConfig, ErrorBody } from '../shared/types.js';
import type { TenantCommand, TopologyDocument } from './document.js';
import {
  NO_PLACEMENTS,
  type OwnershipStep,
  ownershipsOf,
  type PlacementEntry,
  type Placements,
  placementSpecOf,
  type TenantAction,
  type TenantAuditEntry,
  type TenantChange,
} from './placements.js';

/** The document with the placement that a new collection asks for, and which one that is. */
export function withPlacement(
  document: TopologyDocument,
  config: CollectionConfig,
): { readonly document: TopologyDocument; readonly placementId?: number } | FlotillaError {
  const spec = placementSpecOf(config, document.settings.virtualNodes);
  if (spec === undefined) return { document };
  const { placements = NO_PLACEMENTS } = document;
  const existing = placements.entries.find((entry) => isOfSpec(entry, spec));
  if (existing === undefined) return addPlacement(document, spec);
  // Its shards would be told what they own while that changes.
  if (placements.change?.placementId === existing.placementId) return changeUnderWay();
  return { document, placementId: existing.placementId };
}

/** The document without placements that no collection is on; a tenant directory stays. */
export function withoutUnusedPlacements(document: TopologyDocument): TopologyDocument {
  const { placements, collections } = document;
  if (placements === undefined) return document;
  const used = new Set(collections.map(({ placementId }) => placementId));
  const entries = placements.entries.filter(
    ({ placementId, state }) => state.kind === 'tenants' || used.has(placementId),
  );
  if (entries.length === placements.entries.length) return document;
  return { ...document, placements: { ...placements, entries } };
}

/**
 * Applies a command. `changeId` names the change that it began or was about; 0 where there is
 * nothing left to do. Costs the tenant directory.
 */
export function applyTenantCommand(
  document: TopologyDocument,
  command: TenantCommand,
): { readonly document: TopologyDocument; readonly changeId: number } | FlotillaError {
  switch (command.kind) {
    case 'beginTenantChange':
      return beginChange(document, command);
    case 'decideTenantChange':
      return { document: decideChange(document, command), changeId: command.changeId };
    case 'finishTenantChange':
      return { document: finishChange(document, command.changeId), changeId: command.changeId };
    default:
      return unreachable(command, 'tenant command');
  }
}

function beginChange(
  before: TopologyDocument,
  { action, by, atMs }: Extract<TenantCommand, { readonly kind: 'beginTenantChange' }>,
): { readonly document: TopologyDocument; readonly changeId: number } | FlotillaError {
  const underWay = before.placements?.change;
  // Asked for again, because the answer was lost; or by two at the same time. One that is decided
  // against is to be tried anew when it is over.
  if (underWay !== undefined && underWay.stage !== 'lifting') {
    const isSame = isDeepStrictEqual(underWay.action, action);
    if (isSame) return { document: before, changeId: underWay.changeId };
  }
  const document = withDirectory(before);
  const placements = defined(document.placements, 'the placements');
  const directory = defined(placements.entries.find(isDirectory), 'the tenant directory');
  const fault = beginFault(document, directory, action, by);
  if (fault !== undefined) return fault;
  try {
    const commands = commandsOf(document, directory, action);
    const after = appliedTo(directory, commands);
    if (after === directory) return { document: before, changeId: 0 };
    checkSize(after);
    const { nextChangeId: changeId } = placements;
    const { placementId } = directory;
    const steps = stepsOf(document, directory, after);
    const origin = { changeId, action, by, atMs };
    const change = { ...origin, placementId, commands, steps, stage: 'fencing' } as const;
    const begun = { ...placements, change, nextChangeId: changeId + 1 };
    const next = { ...document, placements: begun };
    // Where no shard has to be told there is nothing to wait for.
    const isDone = steps.length === 0;
    const decide = { kind: 'decideTenantChange', changeId } as const;
    return {
      document: isDone ? finishChange(decideChange(next, decide), changeId) : next,
      changeId,
    };
  } catch (error) {
    if (isFlotillaError(error)) return error;
    throw error;
  }
}

function beginFault(
  { placements, collections, shards }: TopologyDocument,
  { placementId }: PlacementEntry,
  action: TenantAction,
  by: string,
): FlotillaError | undefined {
  const isBusy =
    placements?.change !== undefined ||
    collections.some((one) => one.placementId === placementId && one.state === 'creating');
  if (isBusy) return changeUnderWay();
  if (utf8Length(by) > LIMITS.tenantAuthorBytesMax.value) {
    return limitExceeded('tenantAuthorBytesMax', 'by', utf8Length(by));
  }
  if (action.kind === 'releaseTenant') return undefined;
  if (shards.some(({ shardId }) => shardId === action.shardId)) return undefined;
  const message = `There is no shard ${action.shardId}`;
  return new FlotillaError('SHARD_NOT_FOUND', message, { field: 'shardId' });
}

/** What is done to the placement. A shard gives its slots away before it is dedicated. */
function commandsOf(
  { shards }: TopologyDocument,
  { state }: PlacementEntry,
  action: TenantAction,
): PlacementCommand[] {
  assert(state.kind === 'tenants', 'the tenant directory is one');
  const directory = new TenantDirectory(state.table);
  if (action.kind !== 'dedicateShard' || directory.isDedicated(action.shardId)) return [action];
  const shardIds = shards.map(({ shardId }) => shardId);
  const strategy = new TenantStrategy(slotStrategy(state.layout));
  const moves = strategy.dedicationMoves(directory, shardIds, action.shardId);
  return [...moves.map((move) => ({ kind: 'moveUnit', ...move }) as const), action];
}

/** The very same entry where all commands hold already. */
function appliedTo(entry: PlacementEntry, commands: readonly PlacementCommand[]): PlacementEntry {
  const state = applyPlacementCommands(entry.state, commands);
  return state === entry.state ? entry : { ...entry, state };
}

function checkSize({ state }: PlacementEntry): void {
  assert(state.kind === 'tenants', 'the tenant directory is one');
  const { assignments } = state.table;
  const sizeBytes = assignments.reduce((sum, { tenant }) => sum + utf8Length(tenant), 0);
  if (sizeBytes <= LIMITS.tenantAssignmentBytesMax.value) return;
  throw limitExceeded('tenantAssignmentBytesMax', 'tenant', sizeBytes);
}

function stepsOf(
  { shards }: TopologyDocument,
  before: PlacementEntry,
  after: PlacementEntry,
): OwnershipStep[] {
  const shardIds = shards.map(({ shardId }) => shardId);
  const [owned, owning] = [ownershipsOf(before, shardIds), ownershipsOf(after, shardIds)];
  const losing: OwnershipStep[] = [];
  const gaining: OwnershipStep[] = [];
  for (const { shardId, ownershipVersion } of shards) {
    const what = `what shard ${shardId} owns`;
    const change = ownershipChange(
      defined(owned.get(shardId), what),
      defined(owning.get(shardId), what),
    );
    if (isNoChange(change)) continue;
    const step = { shardId, ownershipVersion: ownershipVersion + 1, change };
    (mayLose(change) ? losing : gaining).push(step);
  }
  return [...losing, ...gaining];
}

/** Decided once: what comes later, or is about another change, has no effect. */
function decideChange(
  document: TopologyDocument,
  command: Extract<TenantCommand, { readonly kind: 'decideTenantChange' }>,
): TopologyDocument {
  const { placements } = document;
  const change = placements?.change;
  if (placements === undefined || change?.changeId !== command.changeId) return document;
  if (change.stage !== 'fencing') return document;
  const entry = auditEntry(placements, change, command.refused);
  const audit = [...placements.audit, entry].slice(-LIMITS.tenantAuditMax.value);
  if (command.refused !== undefined) {
    const lifting: TenantChange = { ...change, stage: 'lifting' };
    return { ...document, placements: { ...placements, audit, change: lifting } };
  }
  const opening: TenantChange = { ...change, stage: 'opening' };
  const entries = placements.entries.map((one) =>
    one.placementId === change.placementId ? appliedTo(one, change.commands) : one,
  );
  const shards = document.shards.map((shard) => {
    const step = change.steps.find(({ shardId }) => shardId === shard.shardId);
    return step === undefined ? shard : { ...shard, ownershipVersion: step.ownershipVersion };
  });
  return { ...document, shards, placements: { ...placements, entries, audit, change: opening } };
}

function finishChange(document: TopologyDocument, changeId: number): TopologyDocument {
  const { placements } = document;
  if (placements?.change?.changeId !== changeId) return document;
  if (placements.change.stage === 'fencing') return document;
  const { change: _, ...rest } = placements;
  return { ...document, placements: rest };
}

function auditEntry(
  { entries }: Placements,
  { changeId, placementId, action, by, atMs }: TenantChange,
  refused: ErrorBody | undefined,
): TenantAuditEntry {
  const { state } = defined(
    entries.find((entry) => entry.placementId === placementId),
    `placement ${placementId}`,
  );
  const fromShardId =
    action.kind === 'assignTenant' && state.kind === 'tenants'
      ? new TenantDirectory(state.table).shardOf(action.tenant)
      : undefined;
  return {
    changeId,
    action,
    ...(fromShardId !== undefined && { fromShardId }),
    by,
    atMs,
    ...(refused !== undefined && { refused }),
  };
}

/** The document with a tenant directory, also where no collection has asked for one yet. */
function withDirectory(document: TopologyDocument): TopologyDocument {
  if (document.placements?.entries.some(isDirectory)) return document;
  const { virtualNodes } = document.settings;
  const spec = placementSpecOf({ routing: 'tenant' }, virtualNodes);
  return addPlacement(document, defined(spec, 'the placement of tenants')).document;
}

function addPlacement(
  document: TopologyDocument,
  spec: PlacementSpec,
): { readonly document: TopologyDocument; readonly placementId: number } {
  const { placements = NO_PLACEMENTS, shards } = document;
  const placementId = placements.nextPlacementId;
  const state = createPlacement(
    spec,
    shards.map(({ shardId }) => shardId),
  );
  const entries = [...placements.entries, { placementId, state }];
  const added = { ...placements, entries, nextPlacementId: placementId + 1 };
  return { document: { ...document, placements: added }, placementId };
}

/** Ranges grow apart, each with its collection; all else those share who ask for the same. */
function isOfSpec({ state }: PlacementEntry, spec: PlacementSpec): boolean {
  switch (spec.kind) {
    case 'slots':
      return (
        state.kind === 'slots' &&
        state.routedBy === spec.routedBy &&
        isDeepStrictEqual(state.layout, spec.layout)
      );
    case 'ranges':
      return false;
    case 'tenants':
      return state.kind === 'tenants';
    default:
      return unreachable(spec, 'placement');
  }
}

function isDirectory({ state }: PlacementEntry): boolean {
  return state.kind === 'tenants';
}

function changeUnderWay(): FlotillaError {
  return new FlotillaError(
    'TENANT_CHANGE_IN_PROGRESS',
    'The tenant directory is being changed, or a collection on it created: try again shortly',
  );
}
