/**
 * Which node a call should go to: the one that leads the shard that the call is about, so that no
 * node has to pass it on. All of it are hints. A call that goes elsewhere is served all the same,
 * one hop later; a node that a call could not reach is not preferred for the next attempt.
 */
import type {
  CollectionRoutes,
  NodeRoute,
  Routes,
  RoutesRequest,
} from '../shared/codec/routes-messages.js';
import type { ServedShard } from '../shared/consistency.js';
import { isFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { slotOfKey } from '../shared/slot.js';

/** What a call is about. */
export interface Destination {
  readonly collection: string;
  readonly tenant: string;
  /** 'all' where every shard may have some. */
  readonly records: readonly RoutedRecord[] | 'all';
}

/** What of a record may decide on its shard. */
export interface RoutedRecord {
  readonly id: string;
  readonly shardKey?: string | undefined;
}

/** Asks nodes by their addresses, and keeps the connections to them. */
export interface RouteSource {
  /** The addresses that the user gave. */
  readonly given: readonly string[];
  /** Asks one address, once. Rejects where it does not answer soon. */
  ask(address: string, request: RoutesRequest): Promise<Routes>;
  /** From now on calls go to these addresses too, and to no others that were found before. */
  setFound(addresses: readonly string[]): void;
}

export interface RoutingOptions {
  readonly source: RouteSource;
  readonly logger: Logger;
  readonly nowMs: () => number;
  /** At least 0 and less than 1. */
  readonly random: () => number;
}

/** After how long what is known is looked up again, by the next call that needs it. */
export const ROUTES_AGE_MAX_MS = 30_000;
/** After how long nodes are asked again that have not answered. */
export const ROUTES_RETRY_MS = 5_000;

/** Of so many collections, or tenants that are routed by, the routes are kept; the oldest go. */
const KNOWN_MAX = 1_000;

interface KnownRoutes {
  readonly routes: CollectionRoutes;
  /** When they are looked up again. */
  dueMs: number;
}

const NO_ROUTES: CollectionRoutes = { routedBy: undefined, slotTable: [] };

/**
 * Learns in the background, from the first answered call on: no call ever waits for it (K1). It
 * goes to addresses only that have said which node they are: an advertised address may be none that
 * this client reaches, or be another cluster's here (K2).
 */
export class Routing {
  readonly #source: RouteSource;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  readonly #random: () => number;
  #clusterId = '';
  #epoch = 0;
  /** By shard; node ids. */
  readonly #leaders = new Map<number, number>();
  /** By node id; addresses. */
  readonly #addresses = new Map<number, string>();
  #advertised: readonly NodeRoute[] = [];
  /** By collection, and by tenant where that decides. */
  readonly #known = new Map<string, KnownRoutes>();
  /** When an address that did not answer may be asked again. */
  readonly #askAgainMs = new Map<string, number>();
  /** The newest that an answer told of. */
  #notedEpoch = 0;
  #isFirstAnswered = false;
  /** One lookup at a time: each may change which addresses are in use. */
  #lookups: Promise<unknown> = Promise.resolve();
  /** What is being looked up, or waits for it. */
  readonly #waiting = new Set<string>();

  constructor({ source, logger, nowMs, random }: RoutingOptions) {
    this.#source = source;
    this.#logger = logger;
    this.#nowMs = nowMs;
    this.#random = random;
  }

  /** Where to send the call; `undefined` where any address is as good. Costs a hash per record. */
  addressFor({ collection, tenant, records }: Destination): string | undefined {
    if (!this.#isFirstAnswered) return undefined;
    const known = this.#routesOf(collection, tenant);
    if (this.#nowMs() >= known.dueMs) {
      known.dueMs = this.#nowMs() + ROUTES_RETRY_MS;
      this.#lookUp({ collection, tenant });
    }
    const nodeId = this.#nodeFor(known.routes, records);
    return nodeId === undefined ? undefined : this.#addresses.get(nodeId);
  }

  /** A call was answered: there is a cluster, and more calls may come. */
  noteAnswered(): void {
    this.#isFirstAnswered = true;
  }

  /** Who has answered a read that only leaders answer. */
  noteLeaders(served: readonly ServedShard[]): void {
    for (const { shardId, nodeId } of served) {
      if (nodeId > 0 && this.#leaders.has(shardId)) this.#leaders.set(shardId, nodeId);
    }
  }

  /** The topology that a call was served by. */
  noteEpoch(epoch: number): void {
    if (epoch <= Math.max(this.#epoch, this.#notedEpoch)) return;
    this.#notedEpoch = epoch;
    this.#lookUpAgain();
  }

  /** A call that was sent there as `addressFor` said came to nothing. */
  noteFailed(address: string): void {
    for (const [shardId, nodeId] of this.#leaders) {
      if (this.#addresses.get(nodeId) === address) this.#leaders.set(shardId, 0);
    }
    this.#lookUpAgain();
  }

  /** Once at a time, however many calls want it. */
  #lookUp(request: RoutesRequest): void {
    const key = keyOf(request);
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    this.#lookups = this.#lookups
      .then(() => this.#learn(request))
      // What goes wrong here, in the user's logger say, is no call's business.
      .catch(() => undefined)
      .finally(() => this.#waiting.delete(key));
  }

  #lookUpAgain(): void {
    for (const known of this.#known.values()) known.dueMs = 0;
  }

  /** Made where there are none, so that each is asked for once. */
  #routesOf(collection: string, tenant: string): KnownRoutes {
    const ofAll = this.#known.get(collection);
    if (ofAll !== undefined && ofAll.routes.routedBy !== 'tenant') return ofAll;
    const key = ofAll === undefined ? collection : keyOf({ collection, tenant });
    const known = this.#known.get(key) ?? { routes: NO_ROUTES, dueMs: 0 };
    const [oldest = key] = this.#known.keys();
    if (this.#known.size >= KNOWN_MAX && !this.#known.has(key)) this.#known.delete(oldest);
    this.#known.set(key, known);
    return known;
  }

  #nodeFor(routes: CollectionRoutes, records: Destination['records']): number | undefined {
    const shardIds = this.#shardsOf(routes, records);
    const [first = 0] = shardIds;
    if (shardIds.length <= 1) return this.#leaders.get(first);
    // The nodes that lead share the calls to all shards, each as many as it leads shards. By lot:
    // calls that come in a pattern would fall in step with turns.
    if (shardIds.length === this.#leaders.size) {
      return this.#leaders.get(this.#oneOf(shardIds) ?? first);
    }
    return this.#leaderOfMost(shardIds);
  }

  #shardsOf(
    { tenantShardId, routedBy, slotTable }: CollectionRoutes,
    records: Destination['records'],
  ): number[] {
    if (tenantShardId !== undefined) return [tenantShardId];
    if (records === 'all' || slotTable.length === 0) return [...this.#leaders.keys()];
    const shardIds = new Set<number>();
    for (const { id, shardKey } of records) {
      const key = routedBy === 'id' ? id : shardKey;
      const shardId = key === undefined ? undefined : slotTable[slotOfKey(key)];
      if (shardId === undefined) return [...this.#leaders.keys()];
      shardIds.add(shardId);
      if (shardIds.size === this.#leaders.size) break;
    }
    return [...shardIds];
  }

  /** Of equals one by lot. */
  #leaderOfMost(shardIds: readonly number[]): number | undefined {
    const counts = new Map<number, number>();
    for (const shardId of shardIds) {
      const nodeId = this.#leaders.get(shardId) ?? 0;
      if (nodeId > 0) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
    }
    const most = Math.max(...counts.values());
    const equals = [...counts.keys()].filter((nodeId) => counts.get(nodeId) === most);
    return this.#oneOf(equals);
  }

  #oneOf<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)];
  }

  async #learn(request: RoutesRequest): Promise<void> {
    const answers = await this.#askKnown(request);
    const unknown = this.#source.given.filter((address) => !this.#isKnown(address));
    answers.push(...(await this.#askAll(unknown, request)));
    // By now it is said which other nodes there are.
    answers.push(...(await this.#askAll(this.#strangers(), request)));
    const [answer] = answers;
    if (answer === undefined) return;
    this.#takeLeaders(answers);
    this.#takeRoutes(request, answer.collection ?? NO_ROUTES);
    this.#source.setFound([...this.#addresses.values()]);
    const { nodes, shards } = { nodes: this.#addresses.size, shards: this.#leaders.size };
    this.#logger.debug({ epoch: this.#epoch, nodes, shards }, 'learnt where shards are led');
  }

  #takeRoutes(request: RoutesRequest, routes: CollectionRoutes): void {
    const known = { routes, dueMs: this.#nowMs() + ROUTES_AGE_MAX_MS };
    const { collection } = request;
    this.#known.set(collection, known);
    if (routes.routedBy === 'tenant') this.#known.set(keyOf(request), known);
  }

  #isKnown(address: string): boolean {
    return [...this.#addresses.values()].includes(address);
  }

  /** The first that answers of the nodes that are known, beginning with any. */
  async #askKnown(request: RoutesRequest): Promise<Routes[]> {
    const known = [...this.#addresses.values()];
    const start = Math.floor(this.#random() * known.length);
    for (const address of [...known.slice(start), ...known.slice(0, start)]) {
      const answer = await this.#askOne(address, request);
      if (answer !== undefined) return [answer];
    }
    return [];
  }

  /** Advertised addresses of nodes that none of the known ones is. */
  #strangers(): string[] {
    return this.#advertised
      .filter(({ nodeId }) => !this.#addresses.has(nodeId))
      .map(({ clientAddress }) => clientAddress)
      .filter((address) => !this.#source.given.includes(address));
  }

  async #askAll(addresses: readonly string[], request: RoutesRequest): Promise<Routes[]> {
    const due = addresses.filter((one) => this.#nowMs() >= (this.#askAgainMs.get(one) ?? 0));
    const answers = await Promise.all(due.map((address) => this.#askOne(address, request)));
    return answers.filter((answer) => answer !== undefined);
  }

  async #askOne(address: string, request: RoutesRequest): Promise<Routes | undefined> {
    try {
      const answer = await this.#source.ask(address, request);
      if (this.#clusterId === '') this.#clusterId = answer.clusterId;
      if (answer.clusterId === this.#clusterId) {
        this.#take(address, answer);
        return answer;
      }
    } catch (error) {
      this.#logger.debug({ address, error: String(error) }, 'a node did not tell where shards are');
      // One that is only busy is still there.
      if (isFlotillaError(error) && error.reason === 'DEADLINE_EXCEEDED') return undefined;
    }
    this.#askAgainMs.set(address, this.#nowMs() + ROUTES_RETRY_MS);
    this.#forget(address);
    return undefined;
  }

  #forget(address: string): void {
    for (const [nodeId, known] of this.#addresses) {
      if (known === address) this.#addresses.delete(nodeId);
    }
  }

  #take(address: string, { answeredBy, epoch, nodes }: Routes): void {
    this.#forget(address);
    const before = this.#addresses.get(answeredBy);
    const isGiven = before !== undefined && this.#source.given.includes(before);
    if (!isGiven) this.#addresses.set(answeredBy, address);
    if (epoch < this.#epoch) return;
    if (epoch > this.#epoch && this.#epoch > 0) this.#lookUpAgain();
    this.#epoch = epoch;
    this.#advertised = nodes;
    for (const nodeId of this.#addresses.keys()) {
      if (!nodes.some((one) => one.nodeId === nodeId)) this.#addresses.delete(nodeId);
    }
  }

  /** What a node says of itself counts for more than what others say of it. */
  #takeLeaders(answers: readonly Routes[]): void {
    const claims = answers.flatMap(({ answeredBy, shards }) =>
      shards.map((shard) => ({ ...shard, isOwn: shard.leaderNodeId === answeredBy })),
    );
    for (const { shardId, leaderNodeId, isOwn } of claims) {
      const isNews = leaderNodeId > 0 || !this.#leaders.has(shardId);
      if (!isOwn && isNews) this.#leaders.set(shardId, leaderNodeId);
    }
    for (const { shardId, leaderNodeId, isOwn } of claims) {
      if (isOwn) this.#leaders.set(shardId, leaderNodeId);
    }
  }
}

function keyOf({ collection, tenant }: RoutesRequest): string {
  return `${collection}\n${tenant}`;
}
