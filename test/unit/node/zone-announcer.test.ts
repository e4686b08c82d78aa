// Goal: the topology learns of a node that was moved to another zone, and of no other.
// Method: a view and a topology of a few lines in virtual time, which fails as long as it is told.
import { describe, expect, it } from 'vitest';
import { ZoneAnnouncer } from '../../../src/node/zone-announcer.js';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import type { TopologyCommand, TopologyDocument } from '../../../src/topology/document.js';
import type { TopologyGroup } from '../../../src/topology/topology-group.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { genesis } from '../topology/topology-fixtures.js';

class World {
  readonly environment = new VirtualEnvironment();
  readonly view = new TopologyHolder();
  readonly proposed: TopologyCommand[] = [];
  readonly said: object[] = [];
  /** Proposals that fail before one gets through. */
  failures = 0;

  readonly #topology: Pick<TopologyGroup, 'propose' | 'refresh'> = {
    propose: async (command) => {
      this.proposed.push(command);
      if (this.failures-- > 0) throw new FlotillaError('NO_LEADER', 'nobody leads');
      const { document, result } = applyTopologyCommand(this.document, command);
      this.view.publish(document);
      return result;
    },
    refresh: () => Promise.resolve(),
  };

  constructor(zone?: string) {
    const told = { kind: 'setNodeZone', nodeId: 2, ...(zone !== undefined && { zone }) } as const;
    this.view.publish(applyTopologyCommand(genesis(), told).document);
  }

  get document(): TopologyDocument {
    return defined(this.view.current(), 'a document');
  }

  get zone(): string | undefined {
    return this.document.nodes.find(({ nodeId }) => nodeId === 2)?.zone;
  }

  start(zone: string | undefined): ZoneAnnouncer {
    return new ZoneAnnouncer({
      nodeId: 2,
      zone,
      view: this.view,
      topology: this.#topology,
      environment: this.environment,
      logger: { ...silentLogger, warn: (fields) => void this.said.push(fields) },
    });
  }
}

describe('a node that starts', () => {
  it.each([undefined, 'a'])('in the zone %s that it was in says nothing', async (zone) => {
    const world = new World(zone);
    const announcer = world.start(zone);
    await world.environment.advance(60_000);
    announcer.close();
    expect([world.proposed, world.said]).toEqual([[], []]);
  });

  it.each([
    ['a', 'b'],
    [undefined, 'b'],
    ['a', undefined],
  ])('was in zone %s and is in %s: the topology is told once, and the log', async (...zones) => {
    const [before, now] = zones;
    const world = new World(before);
    const announcer = world.start(now);
    await world.environment.advance(60_000);
    announcer.close();
    expect(world.zone).toBe(now);
    expect(world.proposed).toHaveLength(1);
    expect(world.said).toEqual([{ nodeId: 2, zone: now, zoneBefore: before }]);
  });

  it('tries again while the topology has no leader', async () => {
    const world = new World('a');
    world.failures = 3;
    const announcer = world.start('b');
    await world.environment.advance(10_000);
    announcer.close();
    expect(world.zone).toBe('b');
    expect(world.proposed).toHaveLength(4);
  });

  it('tells it again where an earlier one of its own comes late', async () => {
    const world = new World('b');
    const announcer = world.start('b');
    const late = { kind: 'setNodeZone', nodeId: 2, zone: 'a' } as const;
    world.view.publish(applyTopologyCommand(world.document, late).document);
    await world.environment.advance(10_000);
    announcer.close();
    expect(world.zone).toBe('b');
  });

  it('tells nothing any more once it stops', async () => {
    const world = new World('a');
    world.failures = Number.POSITIVE_INFINITY;
    const announcer = world.start('b');
    await world.environment.advance(3_000);
    announcer.close();
    const { length } = world.proposed;
    await world.environment.advance(60_000);
    expect(world.proposed).toHaveLength(length);
    expect(length).toBeGreaterThan(1);
  });
});
