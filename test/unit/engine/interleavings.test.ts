// Goal: a read that lets others run meanwhile answers, or says that its collection or engine is
// gone, and never ends the engine (H4). Method: something happens at the pauses of each read.
import { setImmediate } from 'node:timers';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import type { JsonObject } from '../../../src/shared/codec/struct.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { engineEnvironment } from './harness.js';
import { GENESIS, query, remove, SCOPE, ShardDriver, upsert } from './shard-driver.js';

const RECORDS = 400;
const SNAPSHOT = 'snapshot';

class PausingShard {
  readonly driver: ShardDriver;
  /** Called wherever the engine lets others run. */
  whenPaused: () => void = () => undefined;

  constructor(exactCopy: boolean) {
    const disk = new MemoryDisk();
    const { scheduler } = engineEnvironment(disk);
    let nowMs = 0;
    // Slices end at every look.
    const clock = { wallMs: () => nowMs, monotonicMs: () => (nowMs += 10) };
    const soon = (task: () => void): void => {
      this.whenPaused();
      setImmediate(task);
    };
    this.driver = new ShardDriver({
      disk,
      snapshotPath: (name) => name,
      create: () =>
        new ShardEngine({
          environment: { disk, clock, scheduler: { ...scheduler, soon } },
          path: 'points',
          genesis: GENESIS,
          exactCopy,
          createIndex: (options) => new FlatIndex(options),
        }),
      cleanup: async () => undefined,
    });
  }

  async fill(): Promise<void> {
    const { driver } = this;
    await driver.open();
    await driver.createCollection({ indexedFields: [{ path: 'word', type: 'keyword' }] });
    await driver.write(IDS.map((id, at) => upsert(id, [at, 1], { metadata: metadataOf(at) })));
    await driver.engine.writeSnapshot(SNAPSHOT);
    await driver.settled();
  }
}

const IDS = Array.from({ length: RECORDS }, (_, at) => `r${at}`);

function metadataOf(at: number): JsonObject {
  return { word: at % 4 === 0 ? 'rare' : 'common', third: at % 3 };
}

const filtered = (filter: JsonObject) => ({ filter: encodeFilter(filter) });
const DECLARED = filtered({ word: 'common' });
const SCANNED = filtered({ third: 1 });
const PAGE = { limit: 500, includeValues: true, includeMetadata: true };

type Read = (driver: ShardDriver) => Promise<unknown>;

const READS: readonly [string, Read][] = [
  ['search by a declared field', (driver) => driver.search(query([7, 7], 300, DECLARED))],
  ['search by metadata', (driver) => driver.search(query([7, 7], 400, SCANNED))],
  ['search by metadata for few', (driver) => driver.search(query([7, 7], 5, SCANNED))],
  ['plan that is explained', (driver) => driver.engine.explain(SCOPE, query([7, 7], 400, SCANNED))],
  ['count by metadata', (driver) => driver.engine.count(SCOPE, SCANNED)],
  ['scroll by metadata', (driver) => driver.engine.scroll(SCOPE, { ...PAGE, ...SCANNED })],
];

/** What happens, and what reads may be refused for then. */
const EVENTS: readonly [string, (driver: ShardDriver) => Promise<unknown>, string | undefined][] = [
  [
    'dropped',
    (driver) => driver.apply({ kind: 'dropCollection', collectionId: 1 }),
    'COLLECTION_NOT_FOUND',
  ],
  ['written anew', rewrite, undefined],
  ['replaced by a snapshot', (driver) => driver.engine.installSnapshot(SNAPSHOT), undefined],
  ['closed', (driver) => driver.engine.close(), 'NODE_NOT_READY'],
];

/** All rows are released, and those that are not pinned are used again by other records. */
async function rewrite(driver: ShardDriver): Promise<void> {
  const others = IDS.map((id, at) => upsert(`other ${id}`, [at, 2], { metadata: metadataOf(at) }));
  await driver.apply(
    driver.writeCommand(IDS.map((id) => remove(id))),
    driver.writeCommand(others),
    driver.writeCommand(IDS.map((id, at) => upsert(id, [at, 3], { metadata: metadataOf(at + 1) }))),
  );
}

async function reasonOf(reading: Promise<unknown>): Promise<string | undefined> {
  try {
    await reading;
    return undefined;
  } catch (error) {
    return isFlotillaError(error) ? error.reason : String(error);
  }
}

describe.each(EVENTS)('a collection that is %s', (_event, happen, refusal) => {
  it.each(READS)('during a %s', async (name, read) => {
    const isEndOfEngine = refusal === 'NODE_NOT_READY';
    // Every early pause, and some of the late ones, which are more of the same.
    for (let happensAt = 1; ; happensAt = Math.ceil(1.3 * happensAt)) {
      const shard = new PausingShard(happensAt % 2 === 0);
      const { driver } = shard;
      await shard.fill();
      let happening: Promise<unknown> | undefined;
      let pauses = 0;
      shard.whenPaused = () => {
        if (++pauses === happensAt) happening = happen(driver);
      };
      const reason = await reasonOf(read(driver));
      await happening;
      if (reason !== undefined) expect([happensAt, reason]).toEqual([happensAt, refusal]);
      shard.whenPaused = () => undefined;
      if (!(isEndOfEngine && happening !== undefined)) {
        expect(await reasonOf(driver.engine.stats())).toBe(undefined);
        await driver.engine.close();
      }
      if (happening !== undefined) continue;
      expect(happensAt, `pauses of a ${name}`).toBeGreaterThan(1);
      return;
    }
  });
});
