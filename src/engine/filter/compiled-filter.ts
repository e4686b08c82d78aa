/** Filters as functions of encoded metadata. */
import { unreachable } from '../../shared/assert.js';
import {
  type Condition,
  conditionTest,
  type Existence,
  type Filter,
  fieldTypes,
} from '../../shared/filter.js';
import { comparisonKey } from '../../shared/filter-values.js';
import type { FieldType, IndexedField } from '../../shared/types.js';
import { type FieldContent, FieldReader } from './field-reader.js';

/** Whether the filter holds for a record, by its metadata as they are stored. */
export type MetadataTest = (metadata: Uint8Array) => boolean;

type ContentTest = (contents: readonly FieldContent[]) => boolean;

/**
 * The filter as a function that answers as `matches` does on the decoded metadata. A call walks
 * over the metadata once and decodes only the fields that the filter names.
 */
export function compileFilter(filter: Filter, fields: readonly IndexedField[]): MetadataTest {
  const paths = [...pathsOf(filter)];
  const reader = new FieldReader(paths);
  const pathAts = new Map(paths.map((path, at) => [path, at]));
  const test = compile(filter, pathAts, fieldTypes(fields));
  return (metadata) => test(reader.read(metadata));
}

/** The paths that the filter names, each once, in the order of their first place in it. */
export function pathsOf(filter: Filter): Set<string> {
  return new Set(conditionsOf(filter).map(({ path }) => path));
}

function conditionsOf(filter: Filter): readonly Condition[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(conditionsOf);
    case 'not':
      return conditionsOf(filter.filter);
    default:
      return [filter];
  }
}

function compile(
  filter: Filter,
  pathAts: ReadonlyMap<string, number>,
  types: ReadonlyMap<string, FieldType>,
): ContentTest {
  switch (filter.kind) {
    case 'and': {
      const tests = filter.filters.map((one) => compile(one, pathAts, types));
      return (contents) => tests.every((test) => test(contents));
    }
    case 'or': {
      const tests = filter.filters.map((one) => compile(one, pathAts, types));
      return (contents) => tests.some((test) => test(contents));
    }
    case 'not': {
      const test = compile(filter.filter, pathAts, types);
      return (contents) => !test(contents);
    }
    case 'exists':
    case 'compare':
    case 'in':
    case 'nin': {
      const pathAt = pathAts.get(filter.path) ?? -1;
      const test = contentTest(filter, types.get(filter.path));
      return (contents) => {
        const content = contents[pathAt];
        return content !== undefined && test(content);
      };
    }
    default:
      return unreachable(filter);
  }
}

function contentTest(
  condition: Condition,
  type: FieldType | undefined,
): (content: FieldContent) => boolean {
  if (condition.kind === 'exists') return existenceTest(condition);
  const { isNegated, holdsFor } = conditionTest(condition, type);
  return ({ values }) => {
    for (const value of values) {
      const key = comparisonKey(value, type);
      if (key !== undefined && holdsFor(key)) return !isNegated;
    }
    return isNegated;
  };
}

function existenceTest({ exists }: Existence): (content: FieldContent) => boolean {
  return (content) => content.exists === exists;
}
