import type { Mutant } from './mutant.js';

/** Known bugs of what is around the core, which need whole nodes to show. */
export const STACK_MUTANTS: readonly Mutant[] = [
  {
    id: 'X-14',
    name: 'stores the applied index before, not with, what was applied (A3)',
    file: 'src/engine/point-store.ts',
    find: `    await this.#kv.batch([...changes, { type: 'put', key: APPLIED_INDEX_KEY, value }], {
      sync: changes.length > 0,
    });`,
    replace: `    const index = { type: 'put', key: APPLIED_INDEX_KEY, value } as const;
    await this.#kv.batch([index], { sync: true });
    await this.#kv.batch(changes, { sync: true });`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-17',
    name: 'begins at the start of a snapshot again, whatever the receiver has (P3)',
    file: 'src/replica/snapshot-sender.ts',
    find: '        this.offset = answer.offset;\n',
    replace: '        this.offset = answer.offset === sizeBytes ? sizeBytes : 0;\n',
    kind: 'liveness',
    simulator: 'full',
  },
];
