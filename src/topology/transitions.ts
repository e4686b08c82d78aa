/**
 * How the topology document changes: pure functions of the document and a command, so that every
 * replica of the topology group comes to the same document and the same answer.
 *
 * A collection goes `creating -> active -> dropping -> gone`. The two `begin` commands come from
 * callers and may be repeated: a drop names the id, which is never used again, and so cannot hit
 * a newer collection of the same name. The two `finish` commands come from the topology's leader
 * once every shard has applied the change.
 */
import { isDeepStrictEqual } from 'node:util';
import { checkZoneName } from '../placement/zones.js';
import { unreachable } from '../shared/assert.js';
import { collectionSettingsFault } from '../shared/collection-settings.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { CollectionConfig, ErrorBody } from '../shared/types.js';
import type { CollectionEntry, TopologyCommand, TopologyDocument } from './document.js';
import {
  applyTenantCommand,
  withoutUnusedPlacements,
  withPlacement,
} from './placement-transitions.js';
import { applyReplicaCommand } from './replica-transitions.js';

/** What applying a command answers to its proposer. Plain data: it crosses nodes as JSON. */
export type TopologyResult =
  /** The command holds now, whether this entry or an earlier one made it so. */
  | { readonly kind: 'ok'; readonly collection: CollectionEntry }
  /** The same, for what is not about a collection. */
  | { readonly kind: 'done' }
  /** The same, for the tenant directory: the change that it began; 0 where there is none. */
  | { readonly kind: 'tenants'; readonly changeId: number }
  /** Nothing was changed. */
  | { readonly kind: 'refused'; readonly error: ErrorBody };

export interface TopologyTransition {
  /** The very same object when nothing changed; otherwise its epoch is one higher. */
  readonly document: TopologyDocument;
  readonly result: TopologyResult;
}

/**
 * Applies one command. Never throws for a command that decodes. Linear in the collections, or in
 * the replicas.
 */
export function applyTopologyCommand(
  document: TopologyDocument,
  command: TopologyCommand,
): TopologyTransition {
  switch (command.kind) {
    case 'beginCreateCollection':
      return beginCreate(document, command.config);
    case 'finishCreateCollection':
      return finishCreate(document, command.collectionId);
    case 'beginDropCollection':
      return beginDrop(document, command.collectionId);
    case 'finishDropCollection':
      return finishDrop(document, command.collectionId);
    case 'setNodeZone':
      return setZone(document, command);
    case 'addReplica':
    case 'removeReplica':
    case 'resetReplica':
    case 'promoteReplica':
    case 'demoteReplica':
    case 'cancelReplicaChange':
    case 'advanceReplicaChange':
    case 'readmitNode': {
      const next = applyReplicaCommand(document, command);
      if (next instanceof FlotillaError) return refused(document, next);
      const epoch = next === document ? document.epoch : document.epoch + 1;
      return { document: next === document ? document : { ...next, epoch }, result: DONE };
    }
    case 'beginTenantChange':
    case 'decideTenantChange':
    case 'finishTenantChange': {
      const next = applyTenantCommand(document, command);
      if (next instanceof FlotillaError) return refused(document, next);
      const { changeId } = next;
      const epoch = next.document === document ? document.epoch : document.epoch + 1;
      return {
        document: next.document === document ? document : { ...next.document, epoch },
        result: { kind: 'tenants', changeId },
      };
    }
    default:
      return unreachable(command, 'topology command');
  }
}

const DONE = { kind: 'done' } as const;
const SHOWN_MAX = 100;

function beginCreate(document: TopologyDocument, config: CollectionConfig): TopologyTransition {
  const existing = findByName(document, config.name);
  if (existing !== undefined) return createAgain(document, existing, config);
  const fault = collectionSettingsFault(config);
  if (fault !== undefined) return refused(document, fault);
  if (document.collections.length >= LIMITS.collectionsMax.value) {
    const { length } = document.collections;
    const message = `The cluster holds ${length} collections already, drop one first`;
    return refused(
      document,
      new FlotillaError('LIMIT_EXCEEDED', message, { limit: 'collectionsMax' }),
    );
  }
  const placed = withPlacement(document, config);
  if (placed instanceof FlotillaError) return refused(document, placed);
  const { placementId } = placed;
  const collection: CollectionEntry = {
    collectionId: document.nextCollectionId,
    config,
    state: 'creating',
    ...(placementId !== undefined && { placementId }),
  };
  const collections = [...document.collections, collection];
  const nextCollectionId = document.nextCollectionId + 1;
  return changed({ ...placed.document, collections, nextCollectionId }, collection);
}

/** Creating what exists with the same settings is a success: callers may repeat themselves. */
function createAgain(
  document: TopologyDocument,
  existing: CollectionEntry,
  config: CollectionConfig,
): TopologyTransition {
  if (existing.state === 'dropping') return notReady(document, existing);
  const setting = differingSetting(existing.config, config);
  if (setting === undefined) return unchanged(document, existing);
  const [has, wanted] = [shown(existing.config[setting]), shown(config[setting])];
  const message =
    `Collection ${config.name} exists with the ${setting} ${has}, ` +
    `not ${wanted}: drop it, or choose another name`;
  return refused(
    document,
    new FlotillaError('COLLECTION_EXISTS', message, { field: setting, details: { setting } }),
  );
}

/** A setting for an error: declared fields can be many. */
function shown(value: CollectionConfig[keyof CollectionConfig]): string {
  const text = JSON.stringify(value) ?? 'unset';
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}...`;
}

function finishCreate(document: TopologyDocument, collectionId: number): TopologyTransition {
  const collection = findById(document, collectionId);
  switch (collection?.state) {
    case undefined:
      return notFound(document, `${collectionId}`);
    case 'creating':
      return moved(document, collection, 'active');
    case 'active':
      return unchanged(document, collection);
    case 'dropping':
      return notReady(document, collection);
  }
}

function beginDrop(document: TopologyDocument, collectionId: number): TopologyTransition {
  const collection = findById(document, collectionId);
  switch (collection?.state) {
    case undefined:
      return notFound(document, `${collectionId}`);
    case 'creating':
      // Shards could otherwise see the drop before the creation that is still on its way to them.
      return notReady(document, collection);
    case 'active':
      return moved(document, collection, 'dropping');
    case 'dropping':
      return unchanged(document, collection);
  }
}

/** A collection that is gone answers COLLECTION_NOT_FOUND: to the one who drives it, it is done. */
function finishDrop(document: TopologyDocument, collectionId: number): TopologyTransition {
  const collection = findById(document, collectionId);
  switch (collection?.state) {
    case undefined:
      return notFound(document, `${collectionId}`);
    case 'creating':
    case 'active':
      return notReady(document, collection);
    case 'dropping': {
      const collections = document.collections.filter((one) => one !== collection);
      return changed(withoutUnusedPlacements({ ...document, collections }), collection);
    }
  }
}

/** Moves nothing: where replicas are was decided before. */
function setZone(
  document: TopologyDocument,
  { nodeId, zone }: Extract<TopologyCommand, { readonly kind: 'setNodeZone' }>,
): TopologyTransition {
  const node = document.nodes.find((one) => one.nodeId === nodeId);
  if (node === undefined) {
    const message = `There is no node ${nodeId} in the cluster`;
    return refused(document, new FlotillaError('NODE_NOT_FOUND', message));
  }
  try {
    if (zone !== undefined) checkZoneName(zone, 'zone');
  } catch (error) {
    return refused(document, toFlotillaError(error));
  }
  if (node.zone === zone) return { document, result: DONE };
  const { zone: _before, ...rest } = node;
  const next = { ...rest, ...(zone !== undefined && { zone }) };
  const nodes = document.nodes.map((one) => (one === node ? next : one));
  return { document: { ...document, nodes, epoch: document.epoch + 1 }, result: DONE };
}

function moved(
  document: TopologyDocument,
  from: CollectionEntry,
  state: CollectionEntry['state'],
): TopologyTransition {
  const to: CollectionEntry = { ...from, state };
  const collections = document.collections.map((one) => (one === from ? to : one));
  return changed({ ...document, collections }, to);
}

function changed(document: TopologyDocument, collection: CollectionEntry): TopologyTransition {
  return {
    document: { ...document, epoch: document.epoch + 1 },
    result: { kind: 'ok', collection },
  };
}

function unchanged(document: TopologyDocument, collection: CollectionEntry): TopologyTransition {
  return { document, result: { kind: 'ok', collection } };
}

function refused(document: TopologyDocument, error: FlotillaError): TopologyTransition {
  return { document, result: { kind: 'refused', error: error.body } };
}

function notFound(document: TopologyDocument, which: string): TopologyTransition {
  const message = `There is no collection ${which}`;
  return refused(document, new FlotillaError('COLLECTION_NOT_FOUND', message));
}

function notReady(document: TopologyDocument, collection: CollectionEntry): TopologyTransition {
  const message = `Collection ${collection.config.name} is ${collection.state}`;
  return refused(document, new FlotillaError('COLLECTION_NOT_READY', message));
}

function findByName(document: TopologyDocument, name: string): CollectionEntry | undefined {
  return document.collections.find((collection) => collection.config.name === name);
}

function findById(document: TopologyDocument, collectionId: number): CollectionEntry | undefined {
  return document.collections.find((collection) => collection.collectionId === collectionId);
}

/** The first setting in which two configurations of one name differ. Fields are a set. */
function differingSetting(
  a: CollectionConfig,
  b: CollectionConfig,
): keyof CollectionConfig | undefined {
  if (a.dimension !== b.dimension) return 'dimension';
  if (a.metric !== b.metric) return 'metric';
  if (a.m !== b.m) return 'm';
  if (a.efConstruction !== b.efConstruction) return 'efConstruction';
  if (a.ttlMs !== b.ttlMs) return 'ttlMs';
  if (a.routing !== b.routing) return 'routing';
  if (a.placement !== b.placement) return 'placement';
  if (!isDeepStrictEqual(a.splitPoints, b.splitPoints)) return 'splitPoints';
  return sortedFields(a) === sortedFields(b) ? undefined : 'indexedFields';
}

function sortedFields(config: CollectionConfig): string {
  return JSON.stringify(config.indexedFields.map(({ path, type }) => [path, type]).sort());
}
