/**
 * The declared metadata fields of a collection, the tenants and the shard keys, by row: which
 * records match without reading any. Derived data: made anew from the records at each open.
 */
import { defined, unreachable } from '../../shared/assert.js';
import { type Comparison, type Filter, isOpposite, type Membership } from '../../shared/filter.js';
import { comparisonKey, type FilterValue } from '../../shared/filter-values.js';
import type { FieldType, IndexedField } from '../../shared/types.js';
import type { TenantCount } from '../engine.js';
import { pathsOf } from '../filter/compiled-filter.js';
import { FieldReader } from '../filter/field-reader.js';
import type { Row } from '../rows.js';
import { allOf, anyOf, type Candidates, everyRow, listed, noRow, otherThan } from './candidates.js';
import {
  type Bound,
  type FieldIndex,
  mergedRange,
  type RangeTest,
  type ValueTest,
} from './field-index.js';
import { KeywordIndex } from './keyword-index.js';
import { OrderedIndex } from './ordered-index.js';
import { RowSet } from './row-set.js';

/**
 * The rows that a filter may match. Conditions on fields that are not declared make them two sets:
 * what is in `certain` matches whatever those fields hold, what is not in `possible` does not, and
 * of the rest the metadata must be read. Both are the same where `isExact`.
 */
export interface Resolution {
  readonly possible: Candidates;
  readonly certain: Candidates;
  readonly isExact: boolean;
}

interface DeclaredField {
  readonly type: FieldType;
  /** Rows with anything but null in the field. */
  readonly present: RowSet;
  readonly values: FieldIndex;
}

/** What a condition on a field that is not declared counts as: held by all rows, or by none. */
type Assumption = 'all' | 'none';

/**
 * A put costs a walk over the metadata and a change to the index of each value. A resolution costs
 * a few lookups a condition; listing it or asking it for rows costs what `Candidates` says.
 */
export class PayloadIndex {
  readonly #fields: ReadonlyMap<string, DeclaredField>;
  readonly #reader: FieldReader;
  readonly #tenants = new KeywordIndex();
  /** Empty where records are not routed by shard key. */
  readonly #shardKeys = new KeywordIndex();
  readonly #live = new RowSet();
  #changes = 0;

  constructor(fields: readonly IndexedField[]) {
    this.#fields = new Map(fields.map(({ path, type }) => [path, declaredField(type)]));
    this.#reader = new FieldReader([...this.#fields.keys()]);
  }

  /** Grows with every change: what was resolved at the same number still holds. */
  get changes(): number {
    return this.#changes;
  }

  /** Records of a tenant. */
  recordsOf(tenant: string): number {
    return this.#tenants.countOf(tenant);
  }

  /** Whether no record is of another tenant. Costs a look-up. */
  isOnly(tenant: string): boolean {
    return this.#tenants.countOf(tenant) === this.#live.size;
  }

  /** The rows of each tenant that has records, in no order. */
  tenantRows(): Iterable<{ readonly key: FilterValue; readonly rows: RowSet }> {
    return this.#tenants.values();
  }

  /** Up to `limit` tenants after one, in the order of their UTF-8 bytes. Costs all of them. */
  tenantsAfter(after: string | undefined, limit: number): TenantCount[] {
    const postings = this.#tenants.valuesAfter(after).slice(0, limit);
    return postings.map(({ key, rows }) => ({ tenant: String(key), records: rows.size }));
  }

  /** What the index takes, about. */
  get memoryBytes(): number {
    const fields = [...this.#fields.values()];
    return fields.reduce(
      (sum, { present, values }) => sum + present.memoryBytes + values.memoryBytes,
      this.#live.memoryBytes + this.#tenants.memoryBytes + this.#shardKeys.memoryBytes,
    );
  }

  /** Notes a record, in place of the one that the row had. */
  put(row: Row, tenant: string, metadata: Uint8Array, shardKey?: string): void {
    this.remove(row);
    this.#changes++;
    this.#live.add(row);
    this.#tenants.add(row, [tenant]);
    if (shardKey !== undefined) this.#shardKeys.add(row, [shardKey]);
    if (this.#fields.size === 0) return;
    const contents = this.#reader.read(metadata);
    let at = 0;
    for (const { type, present, values } of this.#fields.values()) {
      const content = defined(contents[at++], 'the content of a declared field');
      if (!content.exists) continue;
      present.add(row);
      values.add(row, keysOf(content.values, type));
    }
  }

  /** Forgets the record of the row, where it has one. */
  remove(row: Row): void {
    if (!this.#live.delete(row)) return;
    this.#changes++;
    this.#tenants.remove(row);
    this.#shardKeys.remove(row);
    for (const { present, values } of this.#fields.values()) {
      if (present.delete(row)) values.remove(row);
    }
  }

  /** The rows that filter, tenant and shard keys select. Holds until `changes` grows. */
  resolve(filter: Filter | undefined, tenant?: string, shardKeys?: readonly string[]): Resolution {
    const owners = this.#ownedBy(tenant, shardKeys);
    const possible = this.#selected(filter, owners, 'all');
    if (filter === undefined || this.fieldsOf(filter).scanned.length === 0) {
      return { possible, certain: possible, isExact: true };
    }
    return { possible, certain: this.#selected(filter, owners, 'none'), isExact: false };
  }

  /** The paths of a filter that are declared, and those that are not. */
  fieldsOf(filter: Filter): { readonly indexed: string[]; readonly scanned: string[] } {
    const paths = [...pathsOf(filter)];
    return {
      indexed: paths.filter((path) => this.#fields.has(path)),
      scanned: paths.filter((path) => !this.#fields.has(path)),
    };
  }

  #ownedBy(
    tenant: string | undefined,
    shardKeys: readonly string[] | undefined,
  ): readonly Candidates[] {
    const owners: Candidates[] = [];
    if (tenant !== undefined) owners.push(this.#tenants.find({ kind: 'among', keys: [tenant] }));
    if (shardKeys !== undefined) {
      owners.push(this.#shardKeys.find({ kind: 'among', keys: shardKeys }));
    }
    return owners;
  }

  #selected(
    filter: Filter | undefined,
    owners: readonly Candidates[],
    unknown: Assumption,
  ): Candidates {
    const parts = filter === undefined ? [] : [this.#find(filter, false, unknown)];
    return allOf([...parts, ...owners], this.#live);
  }

  /**
   * Negations are carried down to the conditions, since what is left over by more rows than match
   * would be fewer than are wanted: assumptions can only be made below all of them.
   */
  #find(filter: Filter, isNegated: boolean, unknown: Assumption): Candidates {
    switch (filter.kind) {
      case 'not':
        return this.#find(filter.filter, !isNegated, unknown);
      case 'and':
      case 'or': {
        const isAll = (filter.kind === 'and') !== isNegated;
        if (!isAll) {
          const parts = filter.filters.map((part) => this.#find(part, isNegated, unknown));
          return anyOf(parts, this.#live);
        }
        const { ranges, others } = this.#mergeableRanges(filter.filters, isNegated);
        const parts = others.map((part) => this.#find(part, isNegated, unknown));
        return allOf([...ranges, ...parts], this.#live);
      }
      case 'exists': {
        const present = this.#fields.get(filter.path)?.present;
        if (present === undefined) return this.#assumed(unknown);
        return this.#unless(isNegated === filter.exists, listed(present));
      }
      case 'compare':
      case 'in':
      case 'nin': {
        const field = this.#fields.get(filter.path);
        if (field === undefined) return this.#assumed(unknown);
        const found = field.values.find(valueTest(filter, field.type));
        return this.#unless(isOpposite(filter) !== isNegated, found);
      }
      default:
        return unreachable(filter);
    }
  }

  /**
   * Ranges over the same field make one narrower range, which is known better and listed sooner,
   * where no row has two values, one for each of them.
   */
  #mergeableRanges(
    filters: readonly Filter[],
    isNegated: boolean,
  ): { ranges: Candidates[]; others: Filter[] } {
    const others: Filter[] = [];
    const tests = new Map<FieldIndex, RangeTest>();
    for (const filter of filters) {
      const field = filter.kind === 'compare' ? this.#fields.get(filter.path) : undefined;
      const test =
        field?.values.isSingleValued && filter.kind === 'compare' && !isNegated
          ? valueTest(filter, field.type)
          : undefined;
      if (field === undefined || test?.kind !== 'range') others.push(filter);
      else tests.set(field.values, mergedRange(tests.get(field.values) ?? test, test));
    }
    return { ranges: [...tests].map(([values, test]) => values.find(test)), others };
  }

  #unless(isOpposite: boolean, found: Candidates): Candidates {
    return isOpposite ? otherThan(found, this.#live) : found;
  }

  #assumed(unknown: Assumption): Candidates {
    return unknown === 'all' ? everyRow(this.#live) : noRow();
  }
}

function declaredField(type: FieldType): DeclaredField {
  return { type, present: new RowSet(), values: fieldIndex(type) };
}

function fieldIndex(type: FieldType): FieldIndex {
  switch (type) {
    case 'keyword':
    case 'bool':
      return new KeywordIndex();
    case 'integer':
    case 'float':
    case 'datetime':
      return new OrderedIndex();
    default:
      return unreachable(type);
  }
}

function valueTest(condition: Comparison | Membership, type: FieldType): ValueTest {
  if (condition.kind !== 'compare') {
    return { kind: 'among', keys: keysOf(condition.values, type) };
  }
  const { operator, value } = condition;
  const [key] = keysOf([value], type);
  // Nothing is among no keys: a value of another type compares with none of the field's.
  if (key === undefined) return { kind: 'among', keys: [] };
  const bound = (isOpen: boolean): Bound => ({ key, isOpen });
  switch (operator) {
    case 'eq':
    case 'ne':
      return { kind: 'among', keys: [key] };
    case 'gt':
      return { kind: 'range', low: bound(true) };
    case 'gte':
      return { kind: 'range', low: bound(false) };
    case 'lt':
      return { kind: 'range', high: bound(true) };
    case 'lte':
      return { kind: 'range', high: bound(false) };
    default:
      return unreachable(operator);
  }
}

function keysOf(values: readonly FilterValue[], type: FieldType): FilterValue[] {
  return values.flatMap((value) => comparisonKey(value, type) ?? []);
}
