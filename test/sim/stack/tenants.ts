/**
 * Goal: whose records there are in a run, and who moves in while it goes on. Method: some tenants
 * share a collection with nobody's records, others have one in which each is on one shard.
 */
import type { SimRandom } from '../kit/sim-random.js';
import { COLLECTION, HOME, type Space, TENANT_COLLECTION } from './address.js';

export interface Tenancy {
  /** Tenants of the collection that is routed by id, beside nobody. */
  readonly mixed: number;
  /** Tenants that are there from the start, in the one that is routed by tenant. */
  readonly residents: number;
  /** How many more may move in. */
  readonly newcomersMax: number;
  /** Ids of each tenant. All have the same. */
  readonly keys: number;
  /** Weights of operations, beside those of the workload. */
  readonly shares: { readonly count: number; readonly scroll: number };
  /** Share of the searches, counts and scrolls that are about all tenants. */
  readonly allTenants: number;
  /** Mean pause between two changes of the tenant directory. */
  readonly changePauseMs: number;
}

/** Tenants have a collection; what is in it the script says. */
export const SCRIPTED_TENANCY: Tenancy = {
  mixed: 0,
  residents: 1,
  newcomersMax: 0,
  keys: 1,
  shares: { count: 0, scroll: 0 },
  allTenants: 0,
  changePauseMs: 1,
};

/** Tenants whose records are written: those that came last, so that their moves are seen. */
const ACTIVE_MAX = 3;

/** Half of the runs have none, and are what they were without them. */
export function drawTenancy(random: SimRandom): Tenancy | undefined {
  if (random.chance(0.5)) return undefined;
  return {
    mixed: random.integer(0, 2),
    residents: random.integer(1, 2),
    newcomersMax: random.pick([4, 12, 30]),
    keys: random.pick([1, 3]),
    shares: { count: random.pick([0.5, 2]), scroll: random.pick([0.2, 1]) },
    allTenants: random.pick([0, 0.1, 0.3]),
    changePauseMs: random.pick([10, 50, 200]),
  };
}

/** The tenants of one run. */
export class Tenants {
  readonly #tenancy: Tenancy | undefined;
  readonly #mixed: readonly Space[];
  /** The newest at the end. */
  readonly #residents: Space[] = [];
  #known = 0;

  constructor(tenancy: Tenancy | undefined) {
    const { mixed = 0, residents = 0 } = tenancy ?? {};
    this.#tenancy = tenancy;
    this.#mixed = Array.from({ length: mixed }, (_, at) => {
      return { collection: COLLECTION, tenant: `tenant-${at + 1}` };
    });
    for (let at = 0; at < residents; at++) this.open(this.#next());
  }

  /** Where clients write and read at the moment. */
  get spaces(): readonly Space[] {
    return [HOME, ...this.#mixed, ...this.residents];
  }

  /** The newest tenants of the collection that is routed by tenant. */
  get residents(): readonly Space[] {
    return this.#residents.slice(-ACTIVE_MAX);
  }

  /** A tenant that nobody has heard of; `undefined` where all are there that may come. */
  newcomer(): Space | undefined {
    const { residents = 0, newcomersMax = 0 } = this.#tenancy ?? {};
    return this.#known < residents + newcomersMax ? this.#next() : undefined;
  }

  /** Clients write and read there from now on. */
  open(space: Space): void {
    this.#residents.push(space);
  }

  /** In the other collection there are tenants of the same names. */
  #next(): Space {
    return { collection: TENANT_COLLECTION, tenant: `tenant-${++this.#known}` };
  }
}
