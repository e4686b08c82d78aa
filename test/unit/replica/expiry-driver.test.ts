// Goal: expired records are deleted soon, in bounded rounds, by the leader alone.
// Method: the driver in virtual time, over an engine and a replica that are lists.
import { describe, expect, it } from 'vitest';
import type { ExpiredRecords } from '../../../src/engine/engine.js';
import { ExpiryDriver } from '../../../src/replica/expiry-driver.js';
import type { ProposalAnswer } from '../../../src/replica/replica.js';
import { decodeCommand } from '../../../src/shared/codec/command.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

/** A shard whose records expire at the times that they are listed with. */
class ExpiringShard {
  isLeader = true;
  failure: FlotillaError | undefined;
  /** Whether entries are lost on their way. */
  isDeaf = false;
  asked = 0;
  /** Sizes of the entries that were proposed. */
  readonly entries: number[] = [];
  readonly #due = new Map<string, number>();

  add(count: number, expiresAtMs: number): void {
    for (let at = 0; at < count; at++) this.#due.set(`r${this.#due.size}`, expiresAtMs);
  }

  get size(): number {
    return this.#due.size;
  }

  async expired(nowMs: number, limit: number): Promise<readonly ExpiredRecords[]> {
    this.asked++;
    const ids = [...this.#due].filter(([, dueMs]) => dueMs <= nowMs).map(([id]) => id);
    const records = ids.slice(0, limit).map((id) => ({ slot: 1, tenant: '', id, version: 1n }));
    return records.length === 0 ? [] : [{ collectionId: 1, records }];
  }

  async propose(commands: readonly Uint8Array[]): Promise<ProposalAnswer[]> {
    if (this.failure !== undefined) throw this.failure;
    return commands.map((bytes): ProposalAnswer => {
      const { command } = decodeCommand(bytes);
      if (command.kind !== 'expire') throw new Error(command.kind);
      this.entries.push(command.records.length);
      if (this.isDeaf) {
        return { kind: 'unknown', error: { reason: 'OUTCOME_UNKNOWN', message: 'lost' } };
      }
      const removed = command.records.filter(({ id }) => this.#due.delete(id)).length;
      return { kind: 'applied', index: 1, result: { kind: 'expired', removed } };
    });
  }
}

function setUp(): {
  environment: VirtualEnvironment;
  shard: ExpiringShard;
  removed: number[];
  driver: ExpiryDriver;
} {
  const environment = new VirtualEnvironment();
  const shard = new ExpiringShard();
  const removed: number[] = [];
  const driver = new ExpiryDriver({
    environment,
    engine: shard,
    replica: shard,
    onExpired: (records) => removed.push(records),
  });
  return { environment, shard, removed, driver };
}

describe('the expiry of records', () => {
  it('follows their time by a second at most', async () => {
    const { environment, shard, removed } = setUp();
    shard.add(3, environment.clock.wallMs() + 10_500);
    await environment.advance(10_400);
    expect(shard.size).toBe(3);
    await environment.advance(1_100);
    expect(shard.size).toBe(0);
    expect(removed).toEqual([3]);
  });

  it('goes on in rounds until all are gone, 10,000 records a second', async () => {
    const { environment, shard, removed } = setUp();
    shard.add(2_300, environment.clock.wallMs());
    await environment.advance(1_150);
    expect(shard.entries.length).toBeLessThan(5);
    await environment.advance(200);
    expect(shard.entries).toEqual([500, 500, 500, 500, 300]);
    expect(shard.size).toBe(0);
    expect(removed.reduce((sum, one) => sum + one, 0)).toBe(2_300);
  });

  it('is the leader’s alone: a follower does not even look', async () => {
    const { environment, shard } = setUp();
    shard.isLeader = false;
    shard.add(1, 0);
    await environment.advance(5_000);
    expect([shard.asked, shard.size]).toEqual([0, 1]);
    shard.isLeader = true;
    await environment.advance(1_000);
    expect(shard.size).toBe(0);
  });

  it('is tried again where it failed, once a second', async () => {
    const { environment, shard, removed } = setUp();
    shard.add(700, 0);
    shard.failure = new FlotillaError('DISK_FULL', 'no space');
    await environment.advance(3_000);
    expect(shard.asked).toBe(3);
    shard.failure = undefined;
    shard.isDeaf = true;
    await environment.advance(2_000);
    expect(shard.entries).toEqual([500, 500]);
    shard.isDeaf = false;
    await environment.advance(1_200);
    expect(removed).toEqual([500, 200]);
  });

  it('ends when it is closed, also between two rounds', async () => {
    const { environment, shard, driver } = setUp();
    shard.add(1_000, 0);
    await environment.advance(1_010);
    expect(shard.entries).toEqual([500]);
    driver.close();
    await environment.advance(5_000);
    expect(shard.entries).toEqual([500]);
    expect(environment.pendingTimers).toBe(0);
  });
});
