/** The door for writes: what they write, and what they demand of the records that are there. */
import { checkAtMost, invalidField } from '../shared/checks.js';
import {
  type DeleteRequest,
  type PatchRequest,
  type UpsertRequest,
  WRITE_MODES,
  type WriteMode,
} from '../shared/codec/api-messages.js';
import type { CollectionConfig, Version, WriteCondition } from '../shared/types.js';
import type { NewRecord, RecordPatch } from './backend.js';
import { checkIdsToDelete, checkMetadata, checkRecordIds, checkRecords } from './validate.js';
import { checkShardKey } from './validate-tenants.js';

const VERSION_FORM = /^\d{1,20}$/;
const VERSION_MAX = 2n ** 64n - 1n;

/** What an upsert into `collection` writes. */
export function checkUpsert(
  { records, mode }: UpsertRequest,
  collection: CollectionConfig,
): readonly NewRecord[] {
  if (mode === 'unknown') throw invalidField('mode', `is none of ${WRITE_MODES.join(', ')}`);
  checkRecords(records, collection);
  return records.map(({ id, values, metadata, ifVersion, ttlMs, shardKey }, index) => {
    const field = `records[${index}]`;
    if (ttlMs !== undefined) checkAtMost('ttlMsMax', ttlMs, `${field}.ttlMs`);
    const version = versionOf(ifVersion, `${field}.ifVersion`);
    if (version !== undefined && mode === 'insert-only') {
      throw invalidField(`${field}.ifVersion`, 'is set, and the mode only inserts, leave one out');
    }
    const key = checkShardKey(shardKey, `${field}.shardKey`);
    return { id, values, metadata, condition: conditionOf(version, mode), ttlMs, ...key };
  });
}

/** What a patch changes. */
export function checkPatches({ patches }: PatchRequest): readonly RecordPatch[] {
  checkRecordIds('patchRecordsMax', patches, 'patches');
  return patches.map(({ id, metadata, ifVersion, shardKey }, index) => {
    const field = `patches[${index}]`;
    checkMetadata(metadata, `${field}.metadata`);
    const version = versionOf(ifVersion, `${field}.ifVersion`);
    const key = checkShardKey(shardKey, `${field}.shardKey`);
    return { id, metadata, condition: conditionOf(version, undefined), ...key };
  });
}

/** The versions that a delete demands, one per id; none where it demands none. */
export function checkDelete({
  ids,
  ifVersions = [],
  shardKeys,
}: DeleteRequest): readonly (Version | undefined)[] {
  checkIdsToDelete(ids, shardKeys);
  if (ifVersions.length > 0 && ifVersions.length !== ids.length) {
    throw invalidField(
      'ifVersions',
      `are ${ifVersions.length} for ${ids.length} ids, send one for each`,
    );
  }
  return ifVersions.map((text, index) => versionOf(text, `ifVersions[${index}]`));
}

function conditionOf(
  version: Version | undefined,
  mode: WriteMode | undefined,
): WriteCondition | undefined {
  if (version !== undefined) return { kind: 'version', version };
  if (mode === undefined) return undefined;
  return mode === 'insert-only' ? { kind: 'absent' } : { kind: 'exists' };
}

function versionOf(text: string | undefined, field: string): Version | undefined {
  if (text === undefined || text === '') return undefined;
  const version = VERSION_FORM.test(text) ? BigInt(text) : undefined;
  if (version !== undefined && version <= VERSION_MAX) return version;
  throw invalidField(field, 'is not a version, which is a decimal number of 64 bits');
}
