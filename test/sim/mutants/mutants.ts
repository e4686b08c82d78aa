import { CORE_MUTANTS } from './core-mutants.js';
import type { Mutant } from './mutant.js';
import { STACK_MUTANTS } from './stack-mutants.js';

/** By ascending number. */
export const MUTANTS: readonly Mutant[] = [...CORE_MUTANTS, ...STACK_MUTANTS].sort(
  (one, other) => numberOf(one) - numberOf(other),
);

/** The source with the bug in it. Throws a `RangeError` unless it has exactly one place. */
export function mutate({ id, file, find, replace }: Mutant, source: string): string {
  const [before, after, ...more] = source.split(find);
  if (before === undefined || after === undefined || more.length > 0) {
    const count = source.split(find).length - 1;
    throw new RangeError(`${id}: its place occurs ${count} times in ${file}, not once`);
  }
  return before + replace + after;
}

function numberOf({ id }: Mutant): number {
  return Number(id.slice('X-'.length));
}
