/** Which nodes hold the replicas of which shard, when a cluster is laid out. */
import { FlotillaError } from '../shared/errors.js';
import { evenLeadersByExchange } from './leader-exchanges.js';
import { choosePreferredLeaders, type ShardAllocation } from './preferred-leaders.js';
import { ascending, spreadOver, type Zone, type ZoneOfNode, zonesOf } from './zones.js';

export interface AllocationRequest {
  readonly shardIds: readonly number[];
  /** Replicas of each shard. */
  readonly replicationFactor: number;
  /** Distinct; their order does not matter. */
  readonly nodeIds: readonly number[];
  /** @default all nodes are one zone */
  readonly zones?: ZoneOfNode;
}

/**
 * Deals the replicas out to zones, and within each zone to its nodes in turn, in ascending order.
 *
 * Holds for any number of shards, nodes and zones:
 * - No node holds a shard twice, and each shard spreads over zones as `ZoneSpread` says.
 * - Replicas per node differ by at most one within a zone, and between two zones by more only where
 *   the spread forces it: every shard already has all that it may have in the emptier zone, or no
 *   more than it must have in the fuller one.
 * - Preferred leaders per node differ by at most one.
 *
 * Depends on nothing but the ids and on which nodes share a zone. Refused with INVALID_REQUEST when
 * there are fewer nodes than replicas of a shard. Costs shards x nodes; where zones are unequal as
 * much again for each leader that has to be shifted.
 */
export function allocateReplicas(request: AllocationRequest): ShardAllocation[] {
  const { replicationFactor } = request;
  const nodeIds = ascending(request.nodeIds);
  checkReplicationFactor(replicationFactor, nodeIds.length);
  const shardIds = ascending(request.shardIds);
  const zones = zonesOf(nodeIds, request.zones);
  const { least, extras } = spreadOver(zones, replicationFactor);
  const extrasLeft = extrasOfZones(zones, replicationFactor, shardIds.length);
  const dealers = zones.map((zone) => new Dealer(zone));
  const shards = shardIds.map((shardId) => {
    const withExtra = largest(extrasLeft, extras);
    for (const at of withExtra) extrasLeft[at] = (extrasLeft[at] as number) - 1;
    const dealt = dealers.flatMap((dealer, at) =>
      dealer.deal((least[at] as number) + (withExtra.has(at) ? 1 : 0)),
    );
    return { shardId, nodeIds: dealt };
  });
  return evenLeadersByExchange(choosePreferredLeaders(shards), zones);
}

function checkReplicationFactor(replicationFactor: number, nodes: number): void {
  const field = 'replicationFactor';
  if (!Number.isSafeInteger(replicationFactor) || replicationFactor < 1) {
    const message = 'replicationFactor must be a whole number of at least 1';
    throw new FlotillaError('INVALID_REQUEST', message, { field });
  }
  if (replicationFactor > nodes) {
    const message = `replicationFactor is ${replicationFactor}, but there are only ${nodes} nodes`;
    throw new FlotillaError('INVALID_REQUEST', message, { field });
  }
}

/**
 * By zone: how many shards have one replica more than the least there. Each goes to the zone with
 * the lowest load a node by then that has room for it, so that in the end a zone is emptier than
 * another only where it is full, or the other has none of them.
 */
function extrasOfZones(zones: readonly Zone[], replicas: number, shards: number): number[] {
  const { least, most, extras } = spreadOver(zones, replicas);
  const places = [...zones.keys()];
  const given = zones.map(() => 0);
  const loadOf = (at: number): number =>
    (shards * (least[at] as number) + (given[at] as number)) / (zones[at] as Zone).length;
  for (let left = shards * extras; left > 0; left--) {
    const open = places.filter((at) => most[at] !== least[at] && given[at] !== shards);
    const emptiest = open.reduce((best, at) => (loadOf(at) < loadOf(best) ? at : best));
    given[emptiest] = (given[emptiest] as number) + 1;
  }
  return given;
}

/** Where the `count` largest of the numbers stand; of equal ones the first. */
function largest(numbers: readonly number[], count: number): ReadonlySet<number> {
  const order = [...numbers.keys()].sort(
    (a, b) => (numbers[b] as number) - (numbers[a] as number) || a - b,
  );
  return new Set(order.slice(0, count));
}

/** Goes round the nodes of a zone, so that they get equally many to within one. */
class Dealer {
  readonly #zone: Zone;
  #next = 0;

  constructor(zone: Zone) {
    this.#zone = zone;
  }

  /** At most as many as there are nodes. */
  deal(count: number): number[] {
    const dealt = Array.from({ length: count }, (_, position) => {
      return this.#zone[(this.#next + position) % this.#zone.length] as number;
    });
    this.#next = (this.#next + count) % this.#zone.length;
    return dealt;
  }
}
