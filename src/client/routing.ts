/**
 * Which node a call should go to: the one that leads the shard that the call is about, or one that
 * has a replica of it where that is enough, so that no node has to pass it on. All of it are hints.
 * A call that goes elsewhere is served all the same, one hop later; a node that a call could not
 * reach is not preferred for the next attempt.
 */
import type {
  CollectionRoutes,
  NodeRoute,
  Routes,
  RoutesRequest,
} from '../shared/codec/routes-messages.js';
import type { SeenShard, ServedShard } from '../shared/consistency.js';
import { isFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import { slotOfKey } from '../shared/slot.js';
import { RecentMap } from './recent-map.js';

/** What a call is about. */
export interface Destination {
  readonly collection: string;
  /** `undefined` for all tenants. */
  readonly tenant: string | undefined;
  /** 'all' where every shard may have some. */
  readonly records: readonly RoutedRecord[] | 'all';
  /** Whether any replica may serve it. @default 'leaders' */
  readonly servedBy?: 'leaders' | 'replicas';
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
  /** Whether the address was given, or is still connected to who was found there. */
  isTrusted(address: string): boolean;
  /** Whether calls may go there now: it is not known to be down, and owes no answer for long. */
  isReached(address: string): boolean;
  /**
   * From now on calls go to these addresses too, where nodes of this cluster have answered, and to
   * no others that were found before.
   */
  setFound(addresses: readonly string[], clusterId: string): void;
}

export interface RoutingOptions {
  readonly source: RouteSource;
  /** Where this client is. @default nowhere, all nodes are alike */
  readonly zone?: string | undefined;
  readonly logger: Logger;
  readonly nowMs: () => number;
  /** At least 0 and less than 1. */
  readonly random: () => number;
}

/** After how long what is known is looked up again, by the next call that needs it. */
export const ROUTES_AGE_MAX_MS = 30_000;
/** After how long nodes are asked again that have not answered. */
export const ROUTES_RETRY_MS = 5_000;

/** How long a lookup is over at least before calls that fail set off the next one. */
export const LOOKUP_PAUSE_MS = 250;

/** Of so many collections the routes are kept: as many as a cluster may have. */
const COLLECTIONS_MAX = LIMITS.collectionsMax.value;
/** Of so many tenants it is kept on which shard they are. */
export const TENANTS_MAX = 10_000;
/** Lookups that wait for the one under way; later ones are left to later calls. */
const LOOKUPS_MAX = 64;

interface KnownRoutes {
  routes: CollectionRoutes;
  /** When they were looked up last. */
  askedMs: number;
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
  readonly #zone: string | undefined;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  readonly #random: () => number;
  #clusterId = '';
  #epoch = 0;
  /** By shard; node ids. */
  readonly #leaders = new Map<number, number>();
  /** By shard; node ids of all that have a replica. */
  readonly #replicas = new Map<number, readonly number[]>();
  /** By node id; addresses. */
  readonly #addresses = new Map<number, string>();
  /** Nodes whose address is not to be trusted any more, since their connection has broken. */
  readonly #lost = new Set<number>();
  #advertised: readonly NodeRoute[] = [];
  /** Nodes in this client's zone. */
  #near: ReadonlySet<number> = new Set();
  /** By address: until when a node that has failed a call is no better for being near. */
  readonly #failedUntilMs = new Map<string, number>();
  /** By collection. */
  readonly #known = new RecentMap<string, KnownRoutes>(COLLECTIONS_MAX);
  /** By collection and tenant, where tenants decide; shards, as answers tell. */
  readonly #tenants = new RecentMap<string, number>(TENANTS_MAX);
  /** When an address that did not answer may be asked again. */
  readonly #askAgainMs = new Map<string, number>();
  /** The newest that an answer told of. */
  #notedEpoch = 0;
  #isFirstAnswered = false;
  /** One lookup at a time: each may change which addresses are in use. */
  #lookups: Promise<unknown> = Promise.resolve();
  /** Collections that are being looked up, or wait for it. */
  readonly #waiting = new Set<string>();

  constructor({ source, zone, logger, nowMs, random }: RoutingOptions) {
    this.#source = source;
    this.#zone = zone;
    this.#logger = logger;
    this.#nowMs = nowMs;
    this.#random = random;
  }

  /** Where to send the call; `undefined` where any address is as good. Costs a hash per record. */
  addressFor(destination: Destination): string | undefined {
    if (!this.#isFirstAnswered) return undefined;
    const { collection, tenant = '', servedBy = 'leaders' } = destination;
    const known = this.#routesOf(collection);
    const nodeId = this.#nodeFor(this.#shardsOf(known.routes, destination), servedBy);
    const address = nodeId === undefined ? undefined : this.#addressOf(nodeId);
    if (this.#nowMs() >= known.dueMs) {
      known.askedMs = this.#nowMs();
      known.dueMs = known.askedMs + ROUTES_RETRY_MS;
      this.#lookUp({ collection, tenant });
    }
    return address;
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

  /** Where the tenant's records are, where tenants decide: the one shard that an answer names. */
  noteTenant({ collection, tenant }: Destination, shards: readonly SeenShard[]): void {
    const [shard] = shards;
    if (tenant === undefined || shard === undefined || shards.length > 1) return;
    const isTold = shard.ownershipVersion > 0;
    const decides = this.#known.get(collection)?.routes.routedBy === 'tenant';
    if (isTold && decides) this.#tenants.set(keyOf(collection, tenant), shard.shardId);
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
    this.#failedUntilMs.set(address, this.#nowMs() + ROUTES_RETRY_MS);
    this.#lookUpAgain();
  }

  /** A node has told that these shards do not answer, whoever leads them. */
  noteUnled(shardIds: readonly number[]): void {
    const known = shardIds.filter((shardId) => this.#leaders.has(shardId));
    for (const shardId of known) this.#leaders.set(shardId, 0);
    if (known.length > 0) this.#lookUpAgain();
  }

  /** Once at a time, however many calls want it. */
  #lookUp(request: RoutesRequest): void {
    const { collection } = request;
    if (this.#waiting.has(collection) || this.#waiting.size >= LOOKUPS_MAX) return;
    this.#waiting.add(collection);
    this.#lookups = this.#lookups
      .then(() => this.#learn(request))
      // What goes wrong here, in the user's logger say, is no call's business.
      .catch(() => undefined)
      .finally(() => this.#waiting.delete(collection));
  }

  /** Soon, and not as often as calls fail: the answer may be that a shard has no leader. */
  #lookUpAgain(): void {
    for (const known of this.#known.values()) {
      known.dueMs = Math.min(known.dueMs, known.askedMs + LOOKUP_PAUSE_MS);
    }
  }

  /** Made where there are none, so that each is asked for once. */
  #routesOf(collection: string): KnownRoutes {
    const known = this.#known.get(collection);
    if (known !== undefined) return known;
    const made = { routes: NO_ROUTES, askedMs: 0, dueMs: 0 };
    this.#known.set(collection, made);
    return made;
  }

  /**
   * Of all shards one by lot: so the nodes share the calls to all, each as many as it has shards,
   * and calls that come in a pattern do not fall in step with turns. Of several the node that has
   * most of them.
   */
  #nodeFor(shardIds: readonly number[], servedBy: ServedBy): number | undefined {
    if (shardIds.length > 1 && shardIds.length < this.#leaders.size) {
      return this.#oneOf(mostFrequent(shardIds.flatMap((id) => this.#nodesOf(id, servedBy))));
    }
    const shardId = this.#oneOf(shardIds);
    return shardId === undefined ? undefined : this.#oneOf(this.#nodesOf(shardId, servedBy));
  }

  #nodesOf(shardId: number, servedBy: ServedBy): readonly number[] {
    if (servedBy === 'replicas') {
      const replicas = this.#replicas.get(shardId) ?? [];
      const nodeIds = replicas.filter((nodeId) => this.#addresses.has(nodeId));
      const near = nodeIds.filter((nodeId) => this.#isNear(nodeId));
      return near.length > 0 ? near : nodeIds;
    }
    const leader = this.#leaders.get(shardId) ?? 0;
    return leader === 0 ? [] : [leader];
  }

  /** Whether the node is in this client's zone, and calls are served there. */
  #isNear(nodeId: number): boolean {
    const address = this.#addresses.get(nodeId);
    if (address === undefined || !this.#near.has(nodeId)) return false;
    const hasFailed = this.#nowMs() < (this.#failedUntilMs.get(address) ?? 0);
    return !hasFailed && this.#source.isReached(address);
  }

  #addressOf(nodeId: number): string | undefined {
    const address = this.#addresses.get(nodeId);
    if (address !== undefined) {
      if (this.#source.isTrusted(address)) return address;
      this.#lose(nodeId, address);
      this.#lookUpAgain();
    } else if (this.#lost.has(nodeId) && this.#isDue(this.#advertisedBy(nodeId))) {
      this.#lookUpAgain();
    }
    return undefined;
  }

  #lose(nodeId: number, address: string): void {
    this.#forget(address);
    this.#lost.add(nodeId);
  }

  #shardsOf(
    { routedBy, slotTable }: CollectionRoutes,
    { collection, tenant, records }: Destination,
  ): number[] {
    if (routedBy === 'tenant') {
      const isOne = tenant !== undefined;
      const shardId = isOne ? this.#tenants.get(keyOf(collection, tenant)) : undefined;
      return shardId === undefined ? [...this.#leaders.keys()] : [shardId];
    }
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

  #oneOf<T>(list: readonly T[]): T | undefined {
    return list.length < 2 ? list[0] : list[Math.floor(this.#random() * list.length)];
  }

  async #learn(request: RoutesRequest): Promise<void> {
    for (const [nodeId, address] of this.#addresses) {
      if (!this.#source.isTrusted(address)) this.#lose(nodeId, address);
    }
    const answers = await this.#askKnown(request);
    const unknown = this.#source.given.filter((address) => !this.#isKnown(address));
    answers.push(...(await this.#askAll(unknown, request)));
    // By now it is said which other nodes there are.
    answers.push(...(await this.#askAll(this.#strangers(), request)));
    if (answers.length === 0) return;
    this.#takeShards(answers);
    const newest = answers.find(({ epoch }) => epoch === this.#epoch) ?? answers[0];
    this.#takeRoutes(request, newest?.collection ?? NO_ROUTES);
    this.#source.setFound([...this.#addresses.values()], this.#clusterId);
    const { nodes, shards } = { nodes: this.#addresses.size, shards: this.#leaders.size };
    this.#logger.debug({ epoch: this.#epoch, nodes, shards }, 'learnt where shards are led');
  }

  #takeRoutes({ collection, tenant }: RoutesRequest, routes: CollectionRoutes): void {
    const known = this.#routesOf(collection);
    known.routes = routes;
    // Whoever answered may not have heard of what calls have met already.
    const isBehind = this.#epoch < this.#notedEpoch;
    known.dueMs = this.#nowMs() + (isBehind ? ROUTES_RETRY_MS : ROUTES_AGE_MAX_MS);
    const { tenantShardId } = routes;
    if (tenant === '' || tenantShardId === undefined) return;
    this.#tenants.set(keyOf(collection, tenant), tenantShardId);
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

  #advertisedBy(nodeId: number): string {
    return this.#advertised.find((one) => one.nodeId === nodeId)?.clientAddress ?? '';
  }

  #isDue(address: string): boolean {
    return this.#nowMs() >= (this.#askAgainMs.get(address) ?? 0);
  }

  async #askAll(addresses: readonly string[], request: RoutesRequest): Promise<Routes[]> {
    const due = addresses.filter((one) => this.#isDue(one));
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
    this.#lost.delete(answeredBy);
    if (epoch < this.#epoch) return;
    if (epoch > this.#epoch && this.#epoch > 0) this.#lookUpAgain();
    this.#epoch = epoch;
    this.#advertised = nodes;
    const near = nodes.filter(({ zone }) => zone !== undefined && zone === this.#zone);
    this.#near = new Set(near.map(({ nodeId }) => nodeId));
    for (const nodeId of this.#addresses.keys()) {
      if (!nodes.some((one) => one.nodeId === nodeId)) this.#addresses.delete(nodeId);
    }
  }

  /** What a node says of itself counts for more than what others say of it. */
  #takeShards(answers: readonly Routes[]): void {
    for (const { epoch, shards } of answers) {
      if (epoch < this.#epoch) continue;
      for (const { shardId, replicaNodeIds } of shards) this.#replicas.set(shardId, replicaNodeIds);
    }
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

type ServedBy = NonNullable<Destination['servedBy']>;

function keyOf(collection: string, tenant: string): string {
  return `${collection}\n${tenant}`;
}

/** All that occur as often as any does, each once. */
function mostFrequent(values: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return [...counts.keys()].filter((value) => counts.get(value) === most);
}
