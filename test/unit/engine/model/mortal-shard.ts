/** A shard whose machine dies between any two disk operations, and comes back with its log. */
import { ShardEngine, type ShardEngineOptions } from '../../../../src/engine/shard-engine.js';
import { defined } from '../../../../src/shared/assert.js';
import { MemoryDisk } from '../../../../src/shared/memory-disk.js';
import { FaultyDisk } from '../faulty-disk.js';
import { COSTS, engineEnvironment } from '../harness.js';
import { type EngineHarness, GENESIS, ShardDriver } from '../shard-driver.js';
import type { RenewalWatch } from './renewal-watch.js';

const ROOT = 'node';

export type ShardSettings = Pick<
  ShardEngineOptions,
  'createIndex' | 'exactCopy' | 'headFloatsMax' | 'renewalTombstonesMin' | 'checkpoints'
>;

export class MortalShard {
  readonly driver: ShardDriver;
  readonly #settings: ShardSettings;
  readonly #renewals: RenewalWatch | undefined;
  readonly #survivor = new MemoryDisk();
  #disk: FaultyDisk | undefined;
  /** The operation of this disk in which the machine dies. */
  #deathAt = Number.POSITIVE_INFINITY;
  /** The operations after which the machine dies once more while it starts again. */
  #again: readonly number[] = [];
  #snapshots = 0;
  /** Of the last snapshot that was written whole. */
  snapshotPath: string | undefined;
  /** How often the machine died. */
  deaths = 0;
  /** How often while a graph was made anew, where somebody looks on. */
  deathsInRenewals = 0;

  constructor(settings: ShardSettings, renewals?: RenewalWatch) {
    this.#settings = settings;
    this.#renewals = renewals;
    const harness: EngineHarness = {
      disk: this.#survivor,
      snapshotPath: (name) => `${ROOT}/${name}`,
      create: () => this.#boot(),
      cleanup: async () => undefined,
    };
    this.driver = new ShardDriver(harness);
  }

  get isDead(): boolean {
    return this.#disk?.isDead ?? false;
  }

  /** The machine dies after so many disk operations, and after `again` when it starts again. */
  doom(steps: number, again: readonly number[]): void {
    // What is dead, and nobody has noticed yet, cannot be raised by this.
    if (this.isDead) return;
    this.#dieAfter(steps);
    this.#again = again;
  }

  /** Nothing more happens to the machine. */
  spare(): void {
    if (!this.isDead) this.#dieAfter(Number.POSITIVE_INFINITY);
    this.#again = [];
  }

  /** Power is lost now. */
  async crash(): Promise<void> {
    this.#survivor.crash();
    await this.revive();
  }

  /** Starts the machine anew, as often as it dies at that, and replays the log. */
  async revive(): Promise<void> {
    this.deaths++;
    const [steps, ...again] = this.#again;
    const brokenOff = this.#renewals?.brokenOff;
    await this.driver.engine.close().catch(() => undefined);
    if (this.#renewals?.brokenOff !== brokenOff) this.deathsInRenewals++;
    await this.#disk?.release().catch(() => undefined);
    this.#again = again;
    this.#disk = undefined;
    try {
      const opening = this.driver.open();
      if (steps !== undefined) this.#dieAfter(steps);
      await opening;
    } catch (error) {
      if (!this.isDead) throw error;
      await this.revive();
    }
  }

  /** A path of its own: what a death leaves behind is never taken for a whole one. */
  async writeSnapshot(): Promise<void> {
    const path = `${ROOT}/snapshot-${++this.#snapshots}`;
    await this.driver.engine.writeSnapshot(path);
    this.snapshotPath = path;
  }

  /** Goes back to the last snapshot, and replays what came after it. */
  async installSnapshot(): Promise<void> {
    if (this.snapshotPath === undefined) return;
    const { engine, log } = this.driver;
    const { appliedIndex } = await engine.installSnapshot(this.snapshotPath);
    const missing = log.filter(({ index }) => index > appliedIndex);
    if (missing.length > 0) await engine.apply(missing, log.length);
  }

  /** In the operation after those, and not before: what is not under way cannot fail. */
  #dieAfter(steps: number): void {
    const disk = defined(this.#disk, 'a disk');
    disk.dieAfter(steps + 1);
    this.#deathAt = disk.steps + steps + 1;
  }

  /** A process that ends in good order leaves the machine's fate to the next one. */
  #boot(): ShardEngine {
    const stepsLeft =
      this.#disk === undefined ? Number.POSITIVE_INFINITY : this.#deathAt - this.#disk.steps;
    const disk = new FaultyDisk(this.#survivor, () => this.#survivor.crash());
    disk.dieAfter(stepsLeft);
    this.#disk = disk;
    this.#deathAt = stepsLeft;
    return new ShardEngine({
      environment: engineEnvironment(disk),
      path: `${ROOT}/points`,
      genesis: GENESIS,
      costs: COSTS,
      ...this.#settings,
    });
  }
}
