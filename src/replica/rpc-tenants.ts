/** Counts of tenants in the calls between nodes. */
import type { TenantCount, TenantsQuery } from '../engine/engine.js';
import type { ByteReader, ByteWriter } from '../shared/bytes.js';
import type { ReadAnswer } from './replica.js';
import {
  beginReadAnswer,
  readList,
  readOptional,
  readReadAnswer,
  writeList,
  writeOptional,
} from './rpc-parts.js';

export function writeTenantsQuery(writer: ByteWriter, { after, limit }: TenantsQuery): void {
  writeOptional(writer, after, (tenant) => writer.string(tenant));
  writer.varint(limit);
}

export function readTenantsQuery(reader: ByteReader): TenantsQuery {
  const after = readOptional(reader, () => reader.string());
  return { ...(after !== undefined && { after }), limit: reader.varint() };
}

export function encodeTenants({ value, state }: ReadAnswer<readonly TenantCount[]>): Uint8Array {
  const writer = beginReadAnswer(4096, state);
  writeList(writer, value, ({ tenant, records }) => writer.string(tenant).varint(records));
  return writer.finish();
}

export function decodeTenants(bytes: Uint8Array): ReadAnswer<TenantCount[]> {
  return readReadAnswer(bytes, (reader) =>
    readList(reader, () => ({ tenant: reader.string(), records: reader.varint() })),
  );
}
