/** Zones: nodes that fail together, such as racks or data centres, and a shard's share of each. */
import { assert } from '../shared/assert.js';
import { utf8Length } from '../shared/bytes.js';
import { checkAtMost, invalidField } from '../shared/checks.js';

/** By node id: the name of its zone. Nodes that it does not name are one zone together. */
export type ZoneOfNode = ReadonlyMap<number, string>;

/** Nodes of one zone, ascending. */
export type Zone = readonly number[];

const NAME_FORM = /^[A-Za-z0-9_.-]+$/;

/** The name of a zone. Throws INVALID_REQUEST and LIMIT_EXCEEDED with `field`. */
export function checkZoneName(name: string, field: string): void {
  if (name === '') throw invalidField(field, 'is empty');
  checkAtMost('zoneBytesMax', utf8Length(name), field);
  if (!NAME_FORM.test(name)) {
    throw invalidField(field, 'has other characters than letters, digits, "_", "-" and "."');
  }
}

/**
 * The zones of the nodes, in the order of the lowest node of each: what they are called, and in
 * which order nodes are named, makes no difference.
 */
export function zonesOf(nodeIds: readonly number[], zoneOfNode?: ZoneOfNode): Zone[] {
  const zones = new Map<string | undefined, number[]>();
  for (const nodeId of ascending(nodeIds)) {
    const name = zoneOfNode?.get(nodeId);
    const zone = zones.get(name);
    if (zone === undefined) zones.set(name, [nodeId]);
    else zone.push(nodeId);
  }
  return [...zones.values()];
}

/**
 * How the replicas of one shard spread over zones: as evenly as the zones have nodes. A zone holds
 * from `least` to `most` of them, which is one more or none, and `extras` zones hold that one more.
 * So a shard is in as many zones as it can be, and losing a zone costs it as few replicas as
 * possible.
 */
export interface ZoneSpread {
  /** By zone, as all lists here. */
  readonly least: readonly number[];
  readonly most: readonly number[];
  readonly extras: number;
}

/** Of zones that have at least as many nodes together as there are `replicas`. */
export function spreadOver(zones: readonly Zone[], replicas: number): ZoneSpread {
  const filledTo = (level: number) => zones.map((zone) => Math.min(zone.length, level));
  let level = 0;
  while (sumOf(filledTo(level + 1)) < replicas) {
    assert(level < replicas, () => `${replicas} replicas on too few nodes`);
    level++;
  }
  const least = filledTo(level);
  return { least, most: filledTo(level + 1), extras: replicas - sumOf(least) };
}

/** Distinct ids, in ascending order. */
export function ascending(ids: readonly number[]): number[] {
  assert(new Set(ids).size === ids.length, () => `an id is named twice: ${ids.join(', ')}`);
  return [...ids].sort((a, b) => a - b);
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
