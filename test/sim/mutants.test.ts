// Goal: the known bugs that the simulators are measured by fit today's sources.
// Method: make each change in memory; running them is what `npm run sim:mutants` does.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MUTANTS, mutate } from './mutants/mutants.js';

describe('mutants', () => {
  it.each(MUTANTS)('$id has exactly one place: $name', (mutant) => {
    const source = readFileSync(new URL(`../../${mutant.file}`, import.meta.url), 'utf8');
    const mutated = mutate(mutant, source);
    expect(mutated).not.toBe(source);
    expect(mutated).toContain(mutant.replace);
  });

  it('are the eighteen of the specification, and more', () => {
    const ids = MUTANTS.map(({ id }) => id);
    expect(ids.slice(0, 18)).toEqual(Array.from({ length: 18 }, (_, at) => `X-${at + 1}`));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('refuse a source without their place', () => {
    const [mutant] = MUTANTS;
    if (mutant === undefined) throw new Error('no mutants');
    expect(() => mutate(mutant, 'nothing of it')).toThrow(`${mutant.id}: its place occurs 0 times`);
    expect(() => mutate(mutant, mutant.find + mutant.find)).toThrow('occurs 2 times');
  });
});
