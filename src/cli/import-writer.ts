/** Writes the batches of an import: a request has the records of one tenant. */
import type { Flotilla, Metadata, NewRecord, UpsertOptions } from '../client/index.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { ImportOptions, ImportRecord } from './import-job.js';

type Failure = Awaited<ReturnType<ImportOptions['write']>>[number];

interface TenantPart {
  readonly tenant: string;
  /** Of the batch: where each of the records stands in it. */
  readonly positions: number[];
  readonly records: NewRecord<Metadata>[];
}

interface WriterOptions extends Pick<UpsertOptions, 'mode'> {
  readonly collection: string;
  readonly timeoutMs: number;
}

/** A batch with records of several tenants takes a request for each, one after another. */
export function importWriter(
  client: Flotilla,
  { collection, timeoutMs, mode }: WriterOptions,
): ImportOptions['write'] {
  const manner = { timeoutMs, ...(mode !== undefined && { mode }) };
  return async (batch) => {
    const failures = new Array<Failure>(batch.length).fill(undefined);
    for (const { tenant, positions, records } of partsOf(batch)) {
      const written = await client
        .collection(collection, { tenant })
        .upsert(records, manner)
        .catch((error: unknown) => {
          throw inBatch(error, positions);
        });
      for (const [at, outcome] of written.outcomes.entries()) {
        if (outcome.kind === 'applied') continue;
        const { reason, message } = outcome;
        failures[positions[at] ?? 0] = { reason, message };
      }
    }
    return failures;
  };
}

function partsOf(batch: readonly ImportRecord[]): readonly TenantPart[] {
  const parts = new Map<string, TenantPart>();
  for (const [position, { tenant, ...record }] of batch.entries()) {
    const part = parts.get(tenant) ?? { tenant, positions: [], records: [] };
    part.positions.push(position);
    part.records.push(record);
    parts.set(tenant, part);
  }
  return [...parts.values()];
}

/** The error counts records within the request: the batch has more of them. */
function inBatch(error: unknown, positions: readonly number[]): unknown {
  if (!isFlotillaError(error) || error.field === undefined) return error;
  const field = error.field.replace(/^records\[(\d+)\]/, (whole, digits: string) => {
    const position = positions[Number(digits)];
    return position === undefined ? whole : `records[${position}]`;
  });
  return FlotillaError.fromBody({ ...error.body, field }, error);
}
