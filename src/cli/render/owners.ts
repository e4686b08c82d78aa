/** Whose a record is and what it lies with, in tables of records. */
import type { Column } from './table.js';

interface Owned {
  readonly tenant?: string;
  readonly shardKey?: string;
}

export interface OwnerColumn extends Column {
  readonly of: (record: Owned) => string;
}

/** A column for the tenant and one for the shard key, each where some record has one. */
export function ownerColumns(records: readonly Owned[]): readonly OwnerColumn[] {
  const columns: readonly OwnerColumn[] = [
    { title: 'tenant', of: ({ tenant = '' }) => tenant },
    { title: 'shard key', of: ({ shardKey = '' }) => shardKey },
  ];
  return columns.filter(({ of }) => records.some((record) => of(record) !== ''));
}
