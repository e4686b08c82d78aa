/**
 * Goal: shards gain and lose tenants under load, and no record is lost, doubled or shown to others
 * by it. Method: the calls that `flotilla tenant` makes, again and again through any node; tenants
 * move in while that goes on, and some are cleared out first so that they may move.
 */
import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import type { CallOptions, TenantAction } from '../../../src/server/backend.js';
import { unreachable } from '../../../src/shared/assert.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import { FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import type { SimRandom } from '../kit/sim-random.js';
import { keyOf, type Space } from './address.js';
import type { SimulatedClient } from './client.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Findings } from './findings.js';
import type { Tenancy, Tenants } from './tenants.js';

export interface LandlordOptions {
  readonly tenancy: Tenancy;
  readonly tenants: Tenants;
  /** Deletes records as any client does. */
  readonly bailiff: SimulatedClient;
  readonly shards: number;
  readonly scheduler: Scheduler;
  readonly random: SimRandom;
  readonly wire: ClientWire;
  readonly findings: Findings;
  readonly nodes: () => readonly Callee[];
}

/** A node that does not hear of its change is not waited for. */
const CALL_MS = 500;
const RETRY_MS = 50;
const ATTEMPTS_MAX = 5;
/** Share of the changes that are given up on their way. */
const CANCELLED = 0.15;
const CANCEL_MEAN_MS = 20;
/** A tenant of these has its records deleted before it is assigned. */
const CLEARED = 0.6;

export class Landlord {
  readonly #options: LandlordOptions;
  #stopped = false;
  /** Changes that were made, and that a shard or the topology refused. */
  readonly counts = { changed: 0, refused: 0 };

  constructor(options: LandlordOptions) {
    this.#options = options;
  }

  /** Works until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { scheduler, random, tenancy } = this.#options;
    while (!this.#stopped) {
      await sleep(scheduler, random.exponential(tenancy.changePauseMs));
      if (!this.#stopped) await this.once();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One change of the directory, tried a few times. */
  async once(): Promise<void> {
    const { random, shards } = this.#options;
    const shardId = random.integer(0, shards - 1);
    const kind = random.pick([
      'moveIn',
      'moveIn',
      'move',
      'move',
      'move',
      'release',
      'dedicate',
    ] as const);
    switch (kind) {
      case 'moveIn':
        return this.#moveIn(shardId);
      case 'move':
        return this.#move(shardId);
      case 'release':
        return this.#change({ kind: 'releaseTenant', tenant: this.#someone().tenant });
      case 'dedicate':
        await this.#change({ kind: 'dedicateShard', shardId });
        return this.#change({ kind: 'shareShard', shardId });
      default:
        return unreachable(kind);
    }
  }

  /**
   * The last change of a run: nothing is in its way, unless an earlier one never ends. Why it is
   * refused; empty where it is made.
   */
  async lastChange(): Promise<string> {
    const { scheduler } = this.#options;
    const action = { kind: 'assignTenant', tenant: 'the last', shardId: 0 } as const;
    for (;;) {
      const { error } = await this.#call(({ admin }, options) =>
        admin.changeTenants(action, 'landlord', options),
      );
      if (error === undefined) return '';
      if (!isUnclear(error)) return `${error.reason}: ${error.message}`;
      await sleep(scheduler, RETRY_MS);
    }
  }

  /** Where its clients are there already, they may be faster. */
  async #moveIn(shardId: number): Promise<void> {
    const { tenants, random } = this.#options;
    const space = tenants.newcomer();
    if (space === undefined) return this.#move(shardId);
    const isEarly = random.chance(0.3);
    if (isEarly) tenants.open(space);
    await this.#change({ kind: 'assignTenant', tenant: space.tenant, shardId });
    if (!isEarly) tenants.open(space);
  }

  async #move(shardId: number): Promise<void> {
    const { random, bailiff } = this.#options;
    const space = this.#someone();
    if (random.chance(CLEARED)) await bailiff.write('delete', this.#keysOf(space));
    return this.#change({ kind: 'assignTenant', tenant: space.tenant, shardId });
  }

  async #change(action: TenantAction): Promise<void> {
    const { scheduler, random } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX && !this.#stopped; attempt++) {
      const end = await this.#attempt(action);
      if (end !== 'unclear') {
        this.counts[end]++;
        return;
      }
      await sleep(scheduler, random.next() * RETRY_MS);
    }
  }

  async #attempt(action: TenantAction): Promise<'changed' | 'refused' | 'unclear'> {
    const { random } = this.#options;
    if (random.chance(CANCELLED)) void this.#cancelSoon();
    const { error } = await this.#call(({ admin }, options) =>
      admin.changeTenants(action, 'landlord', options),
    );
    if (error === undefined) return 'changed';
    return isUnclear(error) ? 'unclear' : 'refused';
  }

  /** Gives up what is under way a moment later; it may be decided by then. */
  async #cancelSoon(): Promise<void> {
    const { scheduler, random } = this.#options;
    await sleep(scheduler, random.exponential(CANCEL_MEAN_MS));
    if (this.#stopped) return;
    const known = await this.#call(({ admin }, options) =>
      admin.describeTenants({ withoutUsage: true }, options),
    );
    const changeId = known.answer?.change?.changeId;
    if (changeId === undefined) return;
    await this.#call(({ admin }, options) => admin.cancelTenantChange(changeId, options));
  }

  async #call<T>(
    work: (endpoints: EndpointsOptions, options: CallOptions) => Promise<T>,
  ): Promise<{ readonly answer?: T; readonly error?: FlotillaError }> {
    const { random, wire, nodes, findings } = this.#options;
    const running = nodes();
    if (running.length === 0) return { error: new FlotillaError('NO_LEADER', 'nobody runs') };
    try {
      return { answer: await wire.call(random.pick(running), CALL_MS, work) };
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      if (error.reason === 'INTERNAL') findings.report('errors are known', String(error.stack));
      return { error };
    }
  }

  #someone(): Space {
    const { random, tenants } = this.#options;
    return random.pick(tenants.residents);
  }

  #keysOf(space: Space): string[] {
    const { keys } = this.#options.tenancy;
    return Array.from({ length: keys }, (_, at) => keyOf(space, `key-${at + 1}`));
  }
}

/** As a node says, too, whose time was up before that of its caller. */
function isUnclear({ retryable, reason }: FlotillaError): boolean {
  return retryable || reason === 'CANCELLED';
}
