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
    name: 'sends the first piece of a snapshot again, whatever the receiver wants (P3)',
    file: 'src/replica/snapshot-sender.ts',
    find: `        const { offset } = this;
        const bytes = await this.#content.read(offset, chunkSizeBytes);`,
    // In small pieces, so that what a simulated shard holds does not fit into one.
    replace: `        const offset = 0;
        const bytes = await this.#content.read(offset, Math.min(chunkSizeBytes, 256));`,
    kind: 'liveness',
    simulator: 'full',
  },
];
