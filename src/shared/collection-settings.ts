/**
 * What the settings of a collection may be. Held at the door, and again by everyone who applies
 * them: a log can hold what no door has seen, and an index that is asked for the impossible takes
 * its process with it.
 *
 * Who applies an entry decides by this, so the bounds are part of the format of entries: they may
 * be widened only together with a new format that nodes of the version before refuse (F-15).
 */
import { compareBytes, isWellFormed, utf8, utf8Length } from './bytes.js';
import { checkAtMost, invalidField } from './checks.js';
import { type FlotillaError, limitExceeded, toFlotillaError } from './errors.js';
import { LIMITS } from './limits.js';
import {
  type CollectionConfig,
  FIELD_TYPES,
  type IndexedField,
  METRICS,
  PLACEMENT_NAMES,
  ROUTINGS,
} from './types.js';

const NAME_FORM = /^[A-Za-z0-9_.-]+$/;

/** A collection's name. Throws INVALID_REQUEST and LIMIT_EXCEEDED with `field`. */
export function checkCollectionName(name: string, field: string): void {
  if (name === '') throw invalidField(field, 'is empty, a collection needs a name');
  checkAtMost('collectionNameBytesMax', utf8Length(name), field);
  if (!NAME_FORM.test(name)) {
    throw invalidField(field, 'has other characters than letters, digits, "_", "-" and "."');
  }
}

/**
 * What is wrong with settings whose defaults are filled in: INVALID_REQUEST or LIMIT_EXCEEDED, with
 * the place below `config` as `field`. Linear in the declared fields.
 */
export function collectionSettingsFault(config: CollectionConfig): FlotillaError | undefined {
  try {
    checkSettings(config, 'config');
    return undefined;
  } catch (error) {
    return toFlotillaError(error);
  }
}

function checkSettings(config: CollectionConfig, at: string): void {
  const { name, dimension, metric, m, efConstruction, indexedFields, ttlMs } = config;
  checkCollectionName(name, `${at}.name`);
  checkWhole(dimension, `${at}.dimension`, 'a vector has at least 1 float');
  checkAtMost('dimensionMax', dimension, `${at}.dimension`);
  if (!METRICS.includes(metric)) {
    throw invalidField(`${at}.metric`, `is none of ${METRICS.join(', ')}`);
  }
  checkWhole(m, `${at}.m`, 'a point has links');
  if (m < LIMITS.mMin.value) throw limitExceeded('mMin', `${at}.m`, m);
  checkAtMost('mMax', m, `${at}.m`);
  checkWhole(efConstruction, `${at}.efConstruction`, 'an insert looks at candidates');
  checkAtMost('efConstructionMax', efConstruction, `${at}.efConstruction`);
  checkIndexedFields(indexedFields, `${at}.indexedFields`);
  checkPlacement(config, at);
  if (ttlMs === undefined) return;
  checkWhole(ttlMs, `${at}.ttlMs`, 'leave it out for records that live for ever');
  checkAtMost('ttlMsMax', ttlMs, `${at}.ttlMs`);
}

function checkIndexedFields(fields: readonly IndexedField[], at: string): void {
  checkAtMost('indexedFieldsMax', fields.length, at);
  const seen = new Set<string>();
  for (const [index, { path, type }] of fields.entries()) {
    checkFieldPath(path, `${at}[${index}].path`);
    if (!FIELD_TYPES.includes(type)) {
      throw invalidField(`${at}[${index}].type`, `is none of ${FIELD_TYPES.join(', ')}`);
    }
    if (seen.has(path))
      throw invalidField(`${at}[${index}].path`, 'is the path of an earlier field too');
    seen.add(path);
  }
}

function checkPlacement(config: CollectionConfig, at: string): void {
  const { routing = 'id', placement = 'ring', splitPoints } = config;
  if (!ROUTINGS.includes(routing)) {
    throw invalidField(`${at}.routing`, `is none of ${ROUTINGS.join(', ')}`);
  }
  if (!PLACEMENT_NAMES.includes(placement)) {
    throw invalidField(`${at}.placement`, `is none of ${PLACEMENT_NAMES.join(', ')}`);
  }
  if (routing === 'tenant' && placement !== 'ring') {
    const why = 'goes with no routing by tenant: the tenant directory is laid over the ring';
    throw invalidField(`${at}.placement`, why);
  }
  if (splitPoints === undefined) return;
  if (placement !== 'range') {
    throw invalidField(`${at}.splitPoints`, 'are those of a placement by range, leave them out');
  }
  checkSplitPoints(splitPoints, `${at}.splitPoints`);
}

function checkSplitPoints(splitPoints: readonly string[], at: string): void {
  if (splitPoints.length === 0) throw invalidField(at, 'is empty, leave it out for one range');
  checkAtMost('rangesMax', splitPoints.length + 1, at);
  let previous: Uint8Array = new Uint8Array(0);
  let sizeBytes = 0;
  for (const [index, splitPoint] of splitPoints.entries()) {
    const field = `${at}[${index}]`;
    if (!isWellFormed(splitPoint)) throw invalidField(field, 'is no text that UTF-8 can hold');
    const bytes = utf8(splitPoint);
    checkAtMost('routingKeyBytesMax', bytes.length, field);
    if (compareBytes(previous, bytes) >= 0) {
      throw invalidField(field, 'does not come after the one before it, or is empty');
    }
    sizeBytes += bytes.length;
    previous = bytes;
  }
  checkAtMost('splitPointsBytesMax', sizeBytes, at);
}

/** A dotted path into metadata. Throws INVALID_REQUEST and LIMIT_EXCEEDED with `field`. */
export function checkFieldPath(path: string, field: string): void {
  const names = path.split('.');
  if (names.includes('')) throw invalidField(field, 'has no name before, between or after dots');
  // No metadata can have a field that is deeper than metadata may be.
  checkAtMost('metadataDepthMax', names.length, field);
  // All paths together must fit into one entry of a log.
  checkAtMost('fieldPathBytesMax', utf8Length(path), field);
}

function checkWhole(value: number, field: string, why: string): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw invalidField(field, `is ${value}, it must be a whole number of at least 1: ${why}`);
}
