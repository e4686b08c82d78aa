// Goal: long reads share the thread by turns, and each ends (H2). Method: turns that are run by
// hand; reads that note theirs.
import { describe, expect, it } from 'vitest';
import { ReadTurns } from '../../../src/engine/read-turns.js';

class Rig {
  readonly tasks: (() => void)[] = [];
  readonly turns = new ReadTurns({ soon: (task) => void this.tasks.push(task) });
  readonly log: string[] = [];

  /** A read of so many slices, each of which it notes. */
  async read(name: string, slices: number, givenUp?: { aborted: boolean }): Promise<void> {
    const wait = this.turns.begin(givenUp);
    for (let slice = 0; slice < slices; slice++) {
      await wait();
      this.log.push(name);
      if (givenUp?.aborted) return;
    }
  }

  /** One turn of the event loop; returns who had it. */
  async run(): Promise<string[]> {
    const before = this.log.length;
    for (const task of this.tasks.splice(0)) task();
    for (let round = 0; round < 10; round++) await Promise.resolve();
    return this.log.slice(before);
  }

  async runAll(): Promise<string> {
    while (this.tasks.length > 0) await this.run();
    return this.log.join('');
  }
}

describe('reads of many slices', () => {
  it('have one slice a turn together, however many they are', async () => {
    const rig = new Rig();
    for (const name of 'abcdefgh') void rig.read(name, 3);
    for (let turn = 0; turn < 24; turn++) expect(await rig.run()).toHaveLength(1);
    expect([rig.turns.waiting, rig.tasks.length]).toEqual([0, 0]);
  });

  it('end in their order, each before all have had as much', async () => {
    const rig = new Rig();
    for (const name of 'abcd') void rig.read(name, 8);
    const order = await rig.runAll();
    const ends = [...'abcd'].map((name) => order.lastIndexOf(name));
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    // Shared evenly, none of them would end before the turn 28 of 32.
    expect(ends[0]).toBeLessThan(16);
  });

  it('let a short one in between', async () => {
    const rig = new Rig();
    void rig.read('a', 100);
    void rig.read('b', 100);
    await rig.run();
    void rig.read('x', 2);
    for (let turn = 0; turn < 8; turn++) await rig.run();
    expect([...rig.log].filter((name) => name === 'x')).toHaveLength(2);
  });

  it('end at once, all of them, where they are given up', async () => {
    const rig = new Rig();
    const givenUp = { aborted: false };
    void rig.read('a', 5);
    for (const name of 'bcd') void rig.read(name, 5, givenUp);
    givenUp.aborted = true;
    expect((await rig.run()).sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(rig.turns.waiting).toBe(1);
  });
});
