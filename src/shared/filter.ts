/**
 * Filters on metadata: the language that requests speak, and what a filter means.
 *
 * A filter comes as JSON, as in `{ year: { $gte: 2020 }, $or: [{ tag: 'a' }, { tag: 'b' }] }`. Keys
 * are dotted paths into the metadata or `$and`, `$or`, `$not`; several keys must all hold; a bare
 * value stands for `$eq`. docs/filters.md tells it to users.
 */
import { unreachable } from './assert.js';
import { isWellFormed } from './bytes.js';
import { checkAtMost, invalidField } from './checks.js';
import {
  isList,
  isObject,
  isPlainObject,
  type JsonObject,
  type JsonValue,
} from './codec/struct.js';
import { checkFieldPath } from './collection-settings.js';
import { limitExceeded } from './errors.js';
import { compareKeys, comparisonKey, type FilterValue } from './filter-values.js';
import { LIMITS } from './limits.js';
import type { FieldType, IndexedField } from './types.js';

export type ComparisonOperator = 'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte';

/** One comparison of the values at a path with a value. */
export interface Comparison {
  readonly kind: 'compare';
  readonly path: string;
  readonly operator: ComparisonOperator;
  readonly value: FilterValue;
}

/** Whether any value at a path is, or none is, among some values. */
export interface Membership {
  readonly kind: 'in' | 'nin';
  readonly path: string;
  /** All of one type. None at all is possible: then nothing is among them. */
  readonly values: readonly FilterValue[];
}

/** Whether there is anything but null at a path. */
export interface Existence {
  readonly kind: 'exists';
  readonly path: string;
  readonly exists: boolean;
}

export type Condition = Comparison | Membership | Existence;

/**
 * A checked filter. `and` of nothing holds for every record, `or` of nothing for none.
 *
 * The values at a path: each dot goes into an object, and a list on the way, or at the end, stands
 * for its elements, lists among them too. null is no value. A condition holds when it does for any
 * of the values, but for `ne`, `nin` and `exists: false`, which are the opposites of `eq`, `in` and
 * `exists: true`, and so hold where there is no value at all. `comparisonKey` says which values
 * can be compared.
 */
export type Filter =
  | Condition
  | { readonly kind: 'and' | 'or'; readonly filters: readonly Filter[] }
  | { readonly kind: 'not'; readonly filter: Filter };

const OPERATORS = ['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists', '$not'];
const GROUPS = ['$and', '$or', '$not'];

/** Fields by path, as parsing and matching look them up. */
export function fieldTypes(fields: readonly IndexedField[]): ReadonlyMap<string, FieldType> {
  return new Map(fields.map(({ path, type }) => [path, type]));
}

/**
 * Checks a filter on a collection with these declared fields. Throws INVALID_REQUEST and
 * LIMIT_EXCEEDED with the place as `field`, such as `filter.$and[1].year.$gt`; `at` is where the
 * filter itself stands. Costs time in proportion to the filter.
 */
export function parseFilter(
  json: JsonObject,
  fields: readonly IndexedField[],
  at = 'filter',
): Filter {
  return new FilterParser(fieldTypes(fields)).object(json, at, 1);
}

/**
 * Whether the filter holds for the metadata. The plain definition of what filters mean: whatever
 * answers faster is tested against it.
 */
export function matches(
  filter: Filter,
  metadata: JsonObject,
  fields: readonly IndexedField[],
): boolean {
  return holds(filter, metadata, fieldTypes(fields));
}

function holds(
  filter: Filter,
  metadata: JsonObject,
  types: ReadonlyMap<string, FieldType>,
): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.filters.every((one) => holds(one, metadata, types));
    case 'or':
      return filter.filters.some((one) => holds(one, metadata, types));
    case 'not':
      return !holds(filter.filter, metadata, types);
    case 'exists':
      return valuesAt(metadata, filter.path.split('.')).length > 0 === filter.exists;
    case 'compare':
    case 'in':
    case 'nin': {
      const type = types.get(filter.path);
      const test = conditionTest(filter, type);
      const keys = valuesAt(metadata, filter.path.split('.')).map((one) =>
        comparisonKey(one, type),
      );
      const isAny = keys.some((key) => key !== undefined && test.holdsFor(key));
      return isAny !== test.isNegated;
    }
    default:
      return unreachable(filter);
  }
}

/** The values at a path: what stands there, lists taken apart, without nulls. */
function valuesAt(value: JsonValue | undefined, path: readonly string[]): JsonValue[] {
  if (value === undefined || value === null) return [];
  if (isList(value)) return value.flatMap((element) => valuesAt(element, path));
  const [name, ...rest] = path;
  if (name === undefined) return [value];
  if (typeof value !== 'object' || !Object.hasOwn(value, name)) return [];
  return valuesAt(value[name], rest);
}

/** A condition on values, ready to be asked many times. */
export interface ConditionTest {
  /** Whether the condition holds where `holdsFor` does for no value, instead of for any. */
  readonly isNegated: boolean;
  /** Whether it holds for a value, given by its `comparisonKey`. */
  readonly holdsFor: (key: FilterValue) => boolean;
}

/** What the condition asks of each value in a field of this declared type. */
export function conditionTest(
  condition: Comparison | Membership,
  declared: FieldType | undefined,
): ConditionTest {
  const isNegated = isOpposite(condition);
  if (condition.kind !== 'compare') {
    const wanted = new Set(condition.values.map((value) => comparisonKey(value, declared)));
    return { isNegated, holdsFor: (key) => wanted.has(key) };
  }
  const { operator, value } = condition;
  const wanted = comparisonKey(value, declared);
  if (wanted === undefined) return { isNegated, holdsFor: () => false };
  return { isNegated, holdsFor: comparison(operator, wanted) };
}

/** Whether the condition is the opposite of the test on values that it names. */
export function isOpposite(condition: Comparison | Membership): boolean {
  return condition.kind === 'nin' || (condition.kind === 'compare' && condition.operator === 'ne');
}

function comparison(
  operator: ComparisonOperator,
  wanted: FilterValue,
): (key: FilterValue) => boolean {
  switch (operator) {
    case 'eq':
    case 'ne':
      return (key) => key === wanted;
    case 'gt':
      return (key) => compareKeys(key, wanted) > 0;
    case 'gte':
      return (key) => compareKeys(key, wanted) >= 0;
    case 'lt':
      return (key) => compareKeys(key, wanted) < 0;
    case 'lte':
      return (key) => compareKeys(key, wanted) <= 0;
    default:
      return unreachable(operator);
  }
}

/** One thing that an object of a filter says: about a field, or, without a path, about filters. */
interface Term {
  readonly path: string | undefined;
  readonly operator: string;
  readonly operand: JsonValue | undefined;
  /** Where the operand stands. */
  readonly at: string;
}

class FilterParser {
  readonly #types: ReadonlyMap<string, FieldType>;
  #conditions = 0;

  constructor(types: ReadonlyMap<string, FieldType>) {
    this.#types = types;
  }

  /** An object with a filter's keys. `level` counts the filters around it, itself included. */
  object(json: JsonValue | undefined, at: string, level: number): Filter {
    if (!isObject(json)) throw invalidField(at, `is ${nameOf(json)}, a filter is an object`);
    const terms = Object.entries(json).flatMap(([key, value]): Term[] => {
      const here = placeOf(at, key);
      if (key.startsWith('$'))
        return [{ path: undefined, operator: key, operand: value, at: here }];
      checkPath(key, here);
      if (isObject(value)) return operatorsOf(key, value, here);
      if (isList(value)) throw invalidField(here, `${LIST_FAULT}${hint(key, GROUPS)}`);
      return [{ path: key, operator: '$eq', operand: value, at: here }];
    });
    return this.#all(terms, at, level);
  }

  #all(terms: readonly Term[], at: string, level: number): Filter {
    const [only] = terms;
    if (terms.length === 1 && only !== undefined) return this.#term(only, level);
    this.#enter(terms.length, at, level);
    return { kind: 'and', filters: terms.map((term) => this.#term(term, level + 1)) };
  }

  #term(term: Term, level: number): Filter {
    if (term.path === undefined) return this.#group(term, level);
    const { path, operator, operand, at } = term;
    if (operator !== '$not') {
      this.#enter(0, at, level);
      return this.#condition(path, operator, operand, at);
    }
    this.#enter(1, at, level);
    if (!isObject(operand)) throw invalidField(at, `is ${nameOf(operand)}, $not takes operators`);
    return { kind: 'not', filter: this.#all(operatorsOf(path, operand, at), at, level + 1) };
  }

  #group({ operator, operand, at }: Term, level: number): Filter {
    switch (operator) {
      case '$and':
      case '$or': {
        if (!isList(operand))
          throw invalidField(at, `is ${nameOf(operand)}, not a list of filters`);
        this.#enter(operand.length, at, level);
        // Unlike `map`, it does not pass by the holes of a list.
        const filters = Array.from(operand, (one, index) =>
          this.object(one, `${at}[${index}]`, level + 1),
        );
        return { kind: operator === '$and' ? 'and' : 'or', filters };
      }
      case '$not':
        this.#enter(1, at, level);
        return { kind: 'not', filter: this.object(operand, at, level + 1) };
      default:
        throw invalidField(
          at,
          `is no operator on filters; there are $and, $or and $not${hint(operator, GROUPS)}`,
        );
    }
  }

  /** Counts a filter, where no part of it will be counted, and how deep it stands. */
  #enter(parts: number, at: string, level: number): void {
    if (level > LIMITS.filterDepthMax.value) throw limitExceeded('filterDepthMax', at);
    if (parts > 0) return;
    this.#conditions++;
    if (this.#conditions > LIMITS.filterConditionsMax.value) {
      throw limitExceeded('filterConditionsMax', at);
    }
  }

  #condition(path: string, operator: string, operand: JsonValue | undefined, at: string): Filter {
    switch (operator) {
      case '$eq':
        return { kind: 'compare', path, operator: 'eq', value: this.#value(path, operand, at) };
      case '$ne':
        return { kind: 'compare', path, operator: 'ne', value: this.#value(path, operand, at) };
      case '$gt':
        return { kind: 'compare', path, operator: 'gt', value: this.#bound(path, operand, at) };
      case '$gte':
        return { kind: 'compare', path, operator: 'gte', value: this.#bound(path, operand, at) };
      case '$lt':
        return { kind: 'compare', path, operator: 'lt', value: this.#bound(path, operand, at) };
      case '$lte':
        return { kind: 'compare', path, operator: 'lte', value: this.#bound(path, operand, at) };
      case '$in':
        return { kind: 'in', path, values: this.#values(path, operand, at) };
      case '$nin':
        return { kind: 'nin', path, values: this.#values(path, operand, at) };
      case '$exists':
        if (typeof operand === 'boolean') return { kind: 'exists', path, exists: operand };
        throw invalidField(at, `is ${nameOf(operand)}, $exists takes true or false`);
      default:
        throw invalidField(at, `${NO_OPERATOR}${hint(operator, OPERATORS)}`);
    }
  }

  /** The bound of a range. */
  #bound(path: string, operand: JsonValue | undefined, at: string): FilterValue {
    const value = this.#value(path, operand, at);
    if (typeof value !== 'boolean') return value;
    throw invalidField(at, 'is a boolean, ranges take numbers and strings');
  }

  #values(path: string, operand: JsonValue | undefined, at: string): FilterValue[] {
    if (!isList(operand)) throw invalidField(at, `is ${nameOf(operand)}, not a list of values`);
    checkAtMost('filterInValuesMax', operand.length, at);
    const values = Array.from(operand, (one, index) => this.#value(path, one, `${at}[${index}]`));
    const odd = values.findIndex((value) => typeof value !== typeof values[0]);
    if (odd === -1) return values;
    throw invalidField(
      `${at}[${odd}]`,
      `is ${nameOf(values[odd])}, and ${at}[0] is ${nameOf(values[0])}`,
    );
  }

  #value(path: string, operand: JsonValue | undefined, at: string): FilterValue {
    const value = scalarOf(operand, at);
    const type = this.#types.get(path);
    if (type === undefined || comparisonKey(value, type) !== undefined) return value;
    throw invalidField(at, `is ${nameOf(value)}, but the field is declared as ${WANTED[type]}`);
  }
}

const WANTED: Readonly<Record<FieldType, string>> = {
  keyword: 'keyword and holds strings',
  integer: 'integer and holds numbers',
  float: 'float and holds numbers',
  bool: 'bool and holds true and false',
  datetime: 'datetime and holds date-times of RFC 3339, such as 2026-01-31T12:00:00Z',
};

const NO_OPERATOR = `is no operator; on a field there are ${OPERATORS.join(', ')}`;
const LIST_FAULT = 'is a list; ask with $in for one of several values';
const INTEGER_MAX = 2 ** 53;
const KEY_SHOWN_MAX = 64;

function scalarOf(operand: JsonValue | undefined, at: string): FilterValue {
  switch (typeof operand) {
    case 'boolean':
      return operand;
    case 'string':
      if (isWellFormed(operand)) return operand;
      throw invalidField(at, 'is a string with half a surrogate pair');
    case 'number':
      if (!Number.isFinite(operand)) throw invalidField(at, 'is not a finite number');
      if (!Number.isInteger(operand) || Math.abs(operand) <= INTEGER_MAX) return operand;
      throw invalidField(at, 'is an integer above 2^53, which a double cannot hold');
    default:
      if (operand === null) {
        throw invalidField(at, 'is null; ask with $exists whether there is a value');
      }
      if (isList(operand)) throw invalidField(at, LIST_FAULT);
      throw invalidField(at, `is ${nameOf(operand)}, not a string, number or boolean`);
  }
}

function operatorsOf(path: string, operators: JsonObject, at: string): Term[] {
  const entries = Object.entries(operators);
  if (entries.length === 0) throw invalidField(at, 'names no operator');
  return entries.map(([operator, operand]) => {
    const here = placeOf(at, operator);
    if (operator.startsWith('$')) return { path, operator, operand, at: here };
    const meant = hint(operator, OPERATORS) || hint(path, GROUPS);
    throw invalidField(here, `is no operator${meant}; fields in objects are "${path}.${operator}"`);
  });
}

/** Says what was meant, where that is one of the words but for its dollar or its case. */
function hint(text: string, words: readonly string[]): string {
  const wanted = `$${text.replace(/^\$/, '')}`.toLowerCase();
  return words.includes(wanted) ? ` (did you mean ${wanted}?)` : '';
}

/** Where a key stands. Long ones are cut: errors travel in headers, which are small. */
function placeOf(at: string, key: string): string {
  return `${at}.${key.length <= KEY_SHOWN_MAX ? key : `${key.slice(0, KEY_SHOWN_MAX)}...`}`;
}

function checkPath(path: string, at: string): void {
  if (!isWellFormed(path)) throw invalidField(at, 'is a path with half a surrogate pair');
  checkFieldPath(path, at);
}

function nameOf(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return String(value);
  if (isList(value)) return 'a list';
  if (typeof value !== 'object') return `a ${typeof value}`;
  return isPlainObject(value) ? 'an object' : `a ${value.constructor?.name ?? 'class'}`;
}
