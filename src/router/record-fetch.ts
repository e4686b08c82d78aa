/** Reading records by their names, within a read that may have other parts. */
import { defined } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import { publicRecord, targetOf } from './addresses.js';
import type { Scope } from './read-scope.js';
import type { FetchAnswer, FetchedRecord, FetchInclude } from './requests.js';
import type { ScopedReads } from './scoped-reads.js';
import { splitByShard } from './write-split.js';

/** A record to fetch. */
export interface WantedRecord {
  readonly id: string;
  readonly shardKey?: string | undefined;
}

/** Asks only the shards that own an id, each once for all of its ids. */
export async function fetchRecords(
  reads: ScopedReads,
  scope: Scope,
  wanted: readonly WantedRecord[],
  include: FetchInclude,
): Promise<Pick<FetchAnswer, 'records' | 'served'>> {
  const { collection, route } = scope;
  const { tenant } = scope.selection;
  if (tenant === undefined) throw needsTenant();
  const keys = wanted.map(({ id, shardKey }, ordinal) => {
    const address = { id, tenant, ...(shardKey !== undefined && { shardKey }) };
    return targetOf(collection, route, ordinal, address);
  });
  const parts = splitByShard(route, keys);
  const round = { operation: 'fetch', scope, shardIds: [...parts.keys()] } as const;
  const { values, served } = await reads.scatter(round, (shardId) => {
    const part = defined(parts.get(shardId), `part of shard ${shardId}`);
    return async (replica, readScope, context) => {
      const found = await replica.fetch(readScope, part, include, context);
      const value = part.map(({ ordinal }, at) => ({ ordinal, record: found.value[at] }));
      return { ...found, value };
    };
  });
  const records = new Array<FetchedRecord | undefined>(wanted.length).fill(undefined);
  for (const { ordinal, record } of values.flat()) {
    records[ordinal] = record && publicRecord(collection, record);
  }
  return { records, served };
}

function needsTenant(): FlotillaError {
  const message = 'A record is named by its tenant too: leave allTenants out, and name the tenant';
  return new FlotillaError('INVALID_REQUEST', message, { field: 'allTenants' });
}
