// Goal: docs/filters.md says what filters do.
// Method: run each row of its examples, and look for every operator of the language in its table.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compileFilter } from '../src/engine/filter/compiled-filter.js';
import { encodeStruct, type JsonObject } from '../src/shared/codec/struct.js';
import { matches, parseFilter } from '../src/shared/filter.js';
import type { IndexedField } from '../src/shared/types.js';

const PAGE = readFileSync('docs/filters.md', 'utf8');
const FIELDS: readonly IndexedField[] = [
  { path: 'at', type: 'datetime' },
  { path: 'year', type: 'integer' },
];

/** Filter, metadata, yes or no. */
const examples = [...PAGE.matchAll(/^\| `(\{.*?\})` *\| `(\{.*?\})` *\| (yes|no) *\|$/gm)];

describe('docs/filters.md', () => {
  it.each(examples.map(([, ...cells]) => cells))('%s on %s: %s', (filter, metadata, holds) => {
    const parsed = parseFilter(JSON.parse(filter as string) as JsonObject, FIELDS);
    const object = JSON.parse(metadata as string) as JsonObject;
    expect(matches(parsed, object, FIELDS)).toBe(holds === 'yes');
    expect(compileFilter(parsed, FIELDS)(encodeStruct(object))).toBe(holds === 'yes');
  });

  it('has examples, and a row for every operator and no other', () => {
    expect(examples.length).toBeGreaterThan(20);
    const table = PAGE.slice(PAGE.indexOf('| Operator'), PAGE.indexOf('## What it means'));
    const documented = [...table.matchAll(/^\| (.*?) +\|/gm)].flatMap(([, cell]) =>
      [...(cell as string).matchAll(/`(\$\w+)`/g)].map(([, operator]) => operator),
    );
    const onFields = refusal({ field: { $none: 1 } });
    const onFilters = refusal({ $none: 1 });
    const known = [...`${onFields} ${onFilters}`.matchAll(/(?<=[ ,])\$\w+/g)].map(([name]) => name);
    expect(new Set(documented)).toEqual(new Set(known));
    expect(documented.length).toBe(12);
  });
});

/** Names the operators that there are. */
function refusal(filter: JsonObject): string {
  try {
    parseFilter(filter, []);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it was accepted');
}
