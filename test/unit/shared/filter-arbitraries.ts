/** Random metadata and filters that meet: few names and values, so that conditions often hold. */
import fc from 'fast-check';
import { unreachable } from '../../../src/shared/assert.js';
import type { JsonObject, JsonValue } from '../../../src/shared/codec/struct.js';
import type { Filter } from '../../../src/shared/filter.js';
import type { FilterValue } from '../../../src/shared/filter-values.js';
import type { IndexedField } from '../../../src/shared/types.js';

/** Declared fields of each type, at the top and below; `free` and others are not declared. */
export const FIELDS: readonly IndexedField[] = [
  { path: 'word', type: 'keyword' },
  { path: 'count', type: 'integer' },
  { path: 'share', type: 'float' },
  { path: 'flag', type: 'bool' },
  { path: 'at', type: 'datetime' },
  { path: 'deep.word', type: 'keyword' },
  { path: 'deep.at', type: 'datetime' },
];

const PATHS = [...FIELDS.map(({ path }) => path), 'free', 'deep', 'deep.free', 'deep.deep.free'];
const WORDS = ['', 'a', 'b', 'B', 'é', '\uffee', '\u{1f600}', '__proto__'];
const INSTANTS = [
  '2026-01-31T12:00:00Z',
  '2026-01-31T13:00:00+01:00',
  '2026-01-31T12:00:00.5Z',
  '1969-12-31T23:59:59.999999Z',
];
const NUMBERS = [-0, 0, 1, -1, 2.5, -(2 ** 53), 2 ** 53, Number.MIN_VALUE];

const text = fc.constantFrom(...WORDS, ...INSTANTS);
const scalar: fc.Arbitrary<FilterValue> = fc.oneof(text, fc.constantFrom(...NUMBERS), fc.boolean());

const names = ['word', 'count', 'share', 'flag', 'at', 'deep', 'free', '__proto__'];

const { value } = fc.letrec<{ value: JsonValue; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names), tie('value')), {
      maxLength: 4,
      selector: ([name]) => name,
    })
    .map(objectOf),
}));

/** Also with names that plain assignment would swallow. */
export function objectOf(entries: readonly (readonly [string, JsonValue])[]): JsonObject {
  return Object.fromEntries(entries);
}

export const arbitraryMetadata: fc.Arbitrary<JsonObject> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), value), {
    maxLength: 6,
    selector: ([name]) => name,
  })
  .map(objectOf);

function valueFor(path: string): fc.Arbitrary<FilterValue> {
  const type = FIELDS.find((field) => field.path === path)?.type;
  switch (type) {
    case 'keyword':
      return text;
    case 'integer':
    case 'float':
      return fc.constantFrom(...NUMBERS);
    case 'bool':
      return fc.boolean();
    case 'datetime':
      return fc.constantFrom(...INSTANTS);
    default:
      return scalar;
  }
}

const condition: fc.Arbitrary<Filter> = fc.constantFrom(...PATHS).chain((path) => {
  const wanted = valueFor(path);
  const bound = wanted.filter((one) => typeof one !== 'boolean');
  const isBool = FIELDS.some((field) => field.path === path && field.type === 'bool');
  const range = fc.record({
    kind: fc.constant('compare' as const),
    path: fc.constant(path),
    operator: fc.constantFrom('gt' as const, 'gte' as const, 'lt' as const, 'lte' as const),
    value: bound,
  });
  const others: fc.Arbitrary<Filter>[] = [
    fc.record({
      kind: fc.constant('compare' as const),
      path: fc.constant(path),
      operator: fc.constantFrom('eq' as const, 'ne' as const),
      value: wanted,
    }),
    fc.record({
      kind: fc.constantFrom('in' as const, 'nin' as const),
      path: fc.constant(path),
      values: fc
        .array(wanted, { maxLength: 3 })
        .map((values) => values.filter((one) => typeof one === typeof values[0])),
    }),
    fc.record({
      kind: fc.constant('exists' as const),
      path: fc.constant(path),
      exists: fc.boolean(),
    }),
  ];
  return fc.oneof(...others, ...(isBool ? [] : [range]));
});

/** Filters that `parseFilter` makes, of all kinds and a few levels. */
export const arbitraryFilter: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    condition,
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      filters: fc.array(tie('filter'), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant('not' as const), filter: tie('filter') }),
  ),
})).filter;

/** The filter as JSON: `parseFilter` makes the same filter of it again. */
export function printFilter(filter: Filter): JsonObject {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return { [`$${filter.kind}`]: filter.filters.map(printFilter) };
    case 'not':
      return { $not: printFilter(filter.filter) };
    case 'compare':
      return { [filter.path]: { [`$${filter.operator}`]: filter.value } };
    case 'in':
    case 'nin':
      return { [filter.path]: { [`$${filter.kind}`]: filter.values } };
    case 'exists':
      return { [filter.path]: { $exists: filter.exists } };
    default:
      return unreachable(filter);
  }
}
