// Goal: the simulated world behaves like the one it stands for, and only the seed decides.
// Method: the conformance suites of disk and network over it, and its faults one by one.
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../src/shared/environment.js';
import type { Kv, KvEntry } from '../../src/shared/kv.js';
import { EventHeap } from './kit/event-heap.js';
import { drawPartition, PARTITION_SHAPES } from './kit/partitions.js';
import { SimClock } from './kit/sim-clock.js';
import { SimDisk } from './kit/sim-disk.js';
import { SimEnvironment } from './kit/sim-environment.js';
import { SimNetwork, type SimNetworkOptions } from './kit/sim-network.js';
import { SimRandom } from './kit/sim-random.js';
import { World } from './kit/world.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (data: Uint8Array | undefined): string | undefined =>
  data && Buffer.from(data).toString();

interface Machine {
  readonly disk: SimDisk;
  start(): SimEnvironment;
}

function machine(world: World, network: SimNetwork, host: string, clock = {}): Machine {
  const disk = new SimDisk(world, host, { journalBatches: 32 });
  let incarnation = 0;
  return {
    disk,
    start: () => {
      incarnation += 1;
      return new SimEnvironment({ world, network, disk, host, incarnation, clock });
    },
  };
}

async function put(kv: Kv, key: string, sync = true): Promise<void> {
  await kv.batch([{ type: 'put', key: bytes(key), value: bytes(`value of ${key}`) }], { sync });
}

describe('the world', () => {
  it('lets events happen in the order of their times, then of their scheduling', () => {
    const random = new SimRandom(7);
    const heap = new EventHeap();
    const events = Array.from({ length: 500 }, (_, sequence) => ({
      timeMs: random.integer(0, 50),
      sequence,
      task: () => undefined,
      isCancelled: random.chance(0.2),
    }));
    for (const event of random.shuffled(events)) heap.push(event);
    const popped = [];
    for (let next = heap.pop(); next !== undefined; next = heap.pop()) popped.push(next);
    const expected = events
      .filter((event) => !event.isCancelled)
      .sort((a, b) => a.timeMs - b.timeMs || a.sequence - b.sequence);
    expect(popped).toEqual(expected);
  });

  it('has forks that do not disturb each other', () => {
    const draws = (extra: number): number[] => {
      const world = new World(3);
      const one = world.fork('one');
      for (let count = 0; count < extra; count += 1) one.next();
      const other = world.fork('other');
      return [other.next(), other.next(), other.next()];
    };
    expect(draws(0)).toEqual(draws(100));
    expect(new World(4).fork('other').next()).not.toBe(draws(0)[0]);
  });

  it('settles promise chains of any length between two events', async () => {
    const world = new World(1);
    const order: string[] = [];
    world.schedule(5, async () => {
      for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
      order.push('the chain');
    });
    world.schedule(5, () => void order.push('the next event'));
    expect(await world.run({})).toBe('idle');
    expect(order).toEqual(['the chain', 'the next event']);
    expect(world.nowMs).toBe(5);
  });

  it('gives each shape of partition, and a ring keeps a majority for everyone', () => {
    const random = new SimRandom(11);
    for (let round = 0; round < 200; round += 1) {
      const hosts = Array.from({ length: random.integer(2, 7) }, (_, at) => at + 1);
      const cuts = drawPartition(random, hosts, random.pick(PARTITION_SHAPES));
      for (const [from, to] of cuts) expect(from).not.toBe(to);
      const ring = drawPartition(random, hosts, 'ring');
      for (const host of hosts) {
        const lost = ring.filter(([from]) => from === host).length;
        expect(hosts.length - lost).toBeGreaterThan(hosts.length / 2);
      }
    }
  });
});

describe('a process', () => {
  it('goes by its own clock, which does not stop while the process is paused', async () => {
    const world = new World(1);
    const start = machine(world, new SimNetwork(world), 'a', { rate: 1.05, offsetMs: 100 });
    const environment = start.start();
    const fired: number[] = [];
    const timer = environment.scheduler.every(105, () => fired.push(world.nowMs));
    await world.run({ untilMs: 250 });
    environment.pause();
    await world.run({ untilMs: 1_000 });
    expect(fired).toEqual([100, 200]);
    expect(environment.clock.monotonicMs()).toBeCloseTo(100 + 1_050, 6);
    environment.resume();
    await world.run({ untilMs: 1_050 });
    // Missed periods are dropped, not made up for.
    expect(fired).toEqual([100, 200, 1_000]);
    timer.cancel();
    expect(await world.run({ untilMs: 2_000 })).toBe('idle');
  });

  it('does nothing after its crash, and its promises stay open', async () => {
    const world = new World(1);
    const environment = machine(world, new SimNetwork(world), 'a').start();
    const settled: string[] = [];
    environment.disk.writeFile('f', bytes('x')).then(
      () => settled.push('written'),
      () => settled.push('failed'),
    );
    environment.scheduler.after(1, () => settled.push('timer'));
    environment.crash('machine');
    expect(await world.run({})).toBe('idle');
    expect(settled).toEqual([]);
  });
});

describe('a disk', () => {
  it('keeps what was synced, and of the rest a prefix, when the power fails', async () => {
    const kept = new Set<number>();
    for (let seed = 1; seed <= 60; seed += 1) {
      const world = new World(seed);
      const { start } = machine(world, new SimNetwork(world), 'a');
      const first = start();
      const kv = await world.settle(first.disk.openKv('db'));
      await world.settle(put(kv, 'synced'));
      const rest = ['u1', 'u2', 'u3'];
      for (const key of rest) await world.settle(put(kv, key, false));
      const underWay = put(kv, 'under way');
      underWay.catch(() => undefined);
      first.crash('machine');
      const again = await world.settle(start().disk.openKv('db'));
      expect(text(again.getSync(bytes('synced')))).toBe('value of synced');
      const found = [...rest, 'under way'].map((key) => again.getSync(bytes(key)) !== undefined);
      expect(found.lastIndexOf(true)).toBe(found.filter(Boolean).length - 1);
      kept.add(found.filter(Boolean).length);
    }
    expect([...kept].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('keeps all finished writes when only the process dies', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const world = new World(seed);
      const { start } = machine(world, new SimNetwork(world), 'a');
      const first = start();
      const kv = await world.settle(first.disk.openKv('db'));
      await world.settle(put(kv, 'unsynced', false));
      first.crash('process');
      const again = await world.settle(start().disk.openKv('db'));
      expect(text(again.getSync(bytes('unsynced')))).toBe('value of unsynced');
    }
  });

  it('acknowledges and loses what follows a write error, as LevelDB does (F-10)', async () => {
    const world = new World(1);
    const { start, disk } = machine(world, new SimNetwork(world), 'a');
    const first = start();
    const kv = await world.settle(first.disk.openKv('db'));
    disk.isFull = true;
    await expect(world.settle(put(kv, 'refused'))).rejects.toThrow('ENOSPC');
    await expect(world.settle(first.disk.writeFile('f', bytes('x')))).rejects.toThrow('ENOSPC');
    expect((await world.settle(first.disk.space('db'))).freeBytes).toBe(0);
    disk.isFull = false;
    await world.settle(put(kv, 'acknowledged'));
    first.crash('process');
    const again = await world.settle(start().disk.openKv('db'));
    expect(again.getSync(bytes('acknowledged'))).toBeUndefined();
  });

  it('fails one operation on demand: a sync, any write, a read', async () => {
    const world = new World(1);
    const { start, disk } = machine(world, new SimNetwork(world), 'a');
    const view = start().disk;
    const open = async (): Promise<Kv> => world.settle(view.openKv('db'));
    let kv = await open();
    disk.failNext('sync');
    await world.settle(put(kv, 'unsynced', false));
    await expect(world.settle(put(kv, 'synced'))).rejects.toThrow('EIO');
    await kv.close();
    kv = await open();
    disk.failNext('write');
    await expect(world.settle(put(kv, 'unsynced', false))).rejects.toThrow('EIO');
    await world.settle(put(kv, 'k'));
    disk.failNext('read');
    expect(() => kv.getSync(bytes('k'))).toThrow('EIO');
    expect(text(kv.getSync(bytes('k')))).toBe('value of k');
    disk.failNext('read');
    await expect(world.settle(kv.scan(ALL)[Symbol.asyncIterator]().next())).rejects.toThrow('EIO');
    disk.failNext('read');
    await expect(world.settle(view.readFile('f'))).rejects.toThrow('EIO');
    disk.failNext('sync');
    await expect(world.settle(view.writeFile('f', bytes('x')))).rejects.toThrow('EIO');
    expect(disk.failures).toEqual({ read: 3, write: 1, sync: 2 });
    disk.failNext('read', 'graphs');
    expect(await world.settle(view.readFile('f'))).toBeUndefined();
    await expect(world.settle(view.readFile('graphs/f'))).rejects.toThrow('graphs/f');
    expect(disk.failures.read).toBe(4);
    expect(disk.isToFail('read')).toBe(false);
    disk.failNext('read');
    expect(disk.isToFail('read')).toBe(true);
    disk.failNone();
    expect(await world.settle(view.readFile('f'))).toBeUndefined();
  });

  it('can take longer for some files than for others', async () => {
    const world = new World(1);
    const slowFiles = { within: '/graphs-', maxMs: 10_000 };
    const disk = new SimDisk(world, 'a', { writeMaxMs: 1, slowFiles });
    const view = disk.view(new SimClock(world));
    const writeMs = async (path: string): Promise<number> => {
      const file = await world.settle(view.openFile(path, 'write'));
      const startMs = world.nowMs;
      await world.settle(file.write(0, bytes('x')));
      return world.nowMs - startMs;
    };
    expect(await writeMs('data/other')).toBeLessThan(1);
    expect(await writeMs('data/graphs-1/1-1.graph')).toBeGreaterThan(1);
  });

  it('can lose a run of batches and keep those around it, and LevelDB tells (S5)', async () => {
    const lost = new Set<number>();
    for (let seed = 1; seed <= 40; seed += 1) {
      const { disk, kv, missing, again } = await fiveKeys(seed);
      const count = await disk.loseMiddle('db');
      await again();
      const keys = missing();
      expect(keys).toHaveLength(count);
      expect(keys).toEqual(KEYS.slice(KEYS.indexOf(keys[0] ?? '')).slice(0, count));
      lost.add(count);
      const said = await disk.content.readFile('db/LOG');
      expect(text(said)).toContain('dropping');
      await kv().close();
      await again();
      expect(text(await disk.content.readFile('db/LOG'))).toBe('');
      expect(await disk.content.readFile('db/LOG.old')).toEqual(said);
    }
    expect(lost.size).toBeGreaterThan(2);
  });

  it('can hide neighbouring keys, or flip one bit, of what is still needed', async () => {
    const hidden = new Set<number>();
    for (let seed = 1; seed <= 40; seed += 1) {
      const isLive = ({ key }: KvEntry): boolean => text(key) !== 'k0';
      const losing = await fiveKeys(seed);
      const count = await losing.disk.loseKeys('db', ALL, isLive);
      await losing.again();
      const keys = losing.missing();
      expect(keys).toHaveLength(count);
      expect(keys).not.toContain('k0');
      expect(keys).toEqual(KEYS.slice(KEYS.indexOf(keys[0] ?? '')).slice(0, count));
      hidden.add(count);

      const flipping = await fiveKeys(seed);
      expect(await flipping.disk.flipBit('db', ALL, isLive)).toBe(true);
      await flipping.again();
      expect(flipping.missing()).toEqual([]);
      const changed = KEYS.filter((key) => {
        return text(flipping.kv().getSync(bytes(key))) !== `value of ${key}`;
      });
      expect(changed).toHaveLength(1);
      expect(changed).not.toContain('k0');
    }
    expect(hidden.size).toBeGreaterThan(2);
    const { disk } = await fiveKeys(1);
    expect(await disk.loseKeys('db', ALL, () => false)).toBe(0);
    expect(await disk.flipBit('db', ALL, () => false)).toBe(false);
  });

  it('forgets a removed database with all that was in store for it', async () => {
    const { disk, again, missing, remove } = await fiveKeys(1);
    await disk.loseMiddle('db');
    await remove();
    expect(disk.databases).toEqual([]);
    await again();
    expect(missing()).toEqual(KEYS);
    expect(await disk.content.readFile('db/LOG')).toBeUndefined();
  });
});

const ALL = { gte: bytes(''), lt: bytes('z') };
const KEYS = ['k0', 'k1', 'k2', 'k3', 'k4'];

/** A database of `KEYS` on a machine that has lost its power, and a way to open it again. */
async function fiveKeys(seed: number) {
  const world = new World(seed);
  const { start, disk } = machine(world, new SimNetwork(world), 'a');
  let process = start();
  let kv = await world.settle(process.disk.openKv('db'));
  for (const key of KEYS) await world.settle(put(kv, key));
  process.crash('machine');
  process = start();
  return {
    disk,
    kv: (): Kv => kv,
    missing: (): string[] => KEYS.filter((key) => kv.getSync(bytes(key)) === undefined),
    again: async (): Promise<void> => {
      kv = await world.settle(process.disk.openKv('db'));
    },
    remove: (): Promise<void> => world.settle(process.disk.remove('db')),
  };
}

const COPYING: SimNetworkOptions = { copiesFrames: true };

async function connected(seed: number, options?: SimNetworkOptions) {
  const world = new World(seed);
  const network = new SimNetwork(world, options);
  const [one, other] = ['a', 'b'].map((host) => machine(world, network, host).start());
  if (one === undefined || other === undefined) throw new Error('two machines');
  const got: string[] = [];
  const closes: (string | undefined)[] = [];
  let accepted: Connection | undefined;
  await world.settle(
    other.network.listen('b:1', (connection) => {
      accepted = connection;
      connection.start({
        onFrame: (frame) => got.push(text(frame) ?? ''),
        onDrain: () => undefined,
        onClose: (error) => closes.push(error?.message),
      });
    }),
  );
  const connection = await world.settle(one.network.dial('b:1', { timeoutMs: 1_000 }));
  const ends: (string | undefined)[] = [];
  const givenBack: Uint8Array[] = [];
  connection.start({
    onFrame: () => undefined,
    onDrain: () => undefined,
    onSent: (frame) => givenBack.push(frame),
    onClose: (error) => ends.push(error?.message),
  });
  await world.run({});
  return { world, network, one, other, connection, got, closes, ends, givenBack, accepted };
}

describe('a network', () => {
  it('keeps the order of frames through delays and cuts that hold them', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { world, network, connection, got } = await connected(seed, { delayMeanMs: 50 });
      const sent = Array.from({ length: 30 }, (_, at) => `f${at}`);
      for (const frame of sent.slice(0, 10)) connection.send(bytes(frame));
      await world.run({ steps: 3 });
      network.cut('a', 'b', 'hold');
      for (const frame of sent.slice(10, 20)) connection.send(bytes(frame));
      await world.run({ steps: 6 });
      network.heal();
      for (const frame of sent.slice(20)) connection.send(bytes(frame));
      await world.run({});
      expect(got).toEqual(sent);
    }
  });

  it('tells both sides of a broken connection, and refuses to dial across the cut', async () => {
    const { world, network, one, closes, ends } = await connected(1);
    network.cut('a', 'b', 'break');
    await world.run({});
    expect([closes, ends]).toEqual([['the link was cut'], ['the link was cut']]);
    const refused = one.network.dial('b:1', { timeoutMs: 1_000 });
    await expect(world.settle(refused)).rejects.toThrow('the link is cut');
  });

  it('resets the connections of a killed process, and is silent for a dead machine', async () => {
    const killed = await connected(1);
    killed.other.crash('process');
    await killed.world.run({});
    expect(killed.ends).toEqual(['connection reset by peer']);
    const dialled = killed.one.network.dial('b:1', { timeoutMs: 1_000 });
    await expect(killed.world.settle(dialled)).rejects.toThrow('connection refused');

    const gone = await connected(1);
    gone.other.crash('machine');
    await gone.world.run({});
    expect(gone.ends).toEqual([]);
    const silent = gone.one.network.dial('b:1', { timeoutMs: 1_000 });
    await expect(gone.world.settle(silent)).rejects.toThrow('no answer within 1000 ms');
  });

  it('delivers to a paused process when it goes on', async () => {
    const { world, other, connection, got } = await connected(1);
    other.pause();
    connection.send(bytes('x'));
    await world.run({});
    expect(got).toEqual([]);
    other.resume();
    await world.run({});
    expect(got).toEqual(['x']);
  });

  it('says when its buffer is full, and when it is empty again', async () => {
    const { world, connection } = await connected(1, { bufferBytesMax: 10 });
    expect(connection.send(bytes('12345'))).toBe(true);
    expect(connection.send(bytes('1234567'))).toBe(false);
    await world.run({});
    expect(connection.send(bytes('12345'))).toBe(true);
  });

  it('breaks connections by itself where it is told how often', async () => {
    const { world, connection, ends } = await connected(1, { breakProbability: 0.2 });
    for (let count = 0; count < 100; count += 1) connection.send(bytes('x'));
    await world.run({});
    expect(ends).toEqual(['connection reset by peer']);
  });

  it('copies frames as late as it can, and gives them back once, overwritten', async () => {
    const { world, network, connection, got, givenBack } = await connected(1, COPYING);
    const frames = ['one', 'two', 'three'].map(bytes);
    for (const frame of frames) connection.send(frame);
    expect([frames.map(text), givenBack]).toEqual([['one', 'two', 'three'], []]);
    network.cut('a', 'b', 'hold');
    await world.run({});
    expect([got, givenBack]).toEqual([[], frames]);
    for (const frame of frames) expect(frame).toEqual(new Uint8Array(frame.length).fill(0xdb));
    network.heal();
    await world.run({});
    expect([got, givenBack.length]).toEqual([['one', 'two', 'three'], frames.length]);
    expect(network.framesGivenBack).toBe(frames.length);
  });

  it('tells of a frame that is written over before it has left', async () => {
    const changed: string[] = [];
    const onChangedFrame = (from: string, to: string): void =>
      void changed.push(`${from} to ${to}`);
    const { world, connection, got } = await connected(1, { ...COPYING, onChangedFrame });
    const frame = bytes('early');
    connection.send(frame);
    connection.send(bytes('other'));
    frame.set(bytes('E'));
    await world.run({});
    expect([changed, got]).toEqual([['a to b'], ['Early', 'other']]);

    const { world: strict, connection: link } = await connected(1, COPYING);
    link.send(frame);
    frame.set(bytes('e'));
    await expect(strict.run({})).rejects.toThrow('a frame from a to b was changed');
  });

  it('gives nothing back that was lost, nor to who has closed, dies or is paused', async () => {
    const filter = (_: string, frame: Uint8Array) => (text(frame) === 'lost' ? undefined : frame);
    const lost = await connected(1, { ...COPYING, filter });
    lost.connection.send(bytes('lost'));
    await lost.world.run({});
    expect([lost.got, lost.givenBack]).toEqual([[], []]);

    const closing = await connected(1, COPYING);
    closing.connection.send(bytes('last'));
    closing.connection.close();
    await closing.world.run({});
    expect([closing.got, closing.givenBack]).toEqual([['last'], []]);

    const dying = await connected(1, COPYING);
    const frame = bytes('last');
    dying.connection.send(frame);
    dying.one.crash('machine');
    await dying.world.run({});
    expect([dying.got, dying.givenBack, text(frame)]).toEqual([['last'], [], 'last']);

    const paused = await connected(1, COPYING);
    paused.connection.send(bytes('before'));
    paused.one.pause();
    await paused.world.run({});
    expect([paused.got, paused.givenBack]).toEqual([['before'], []]);
    paused.one.resume();
    paused.connection.send(bytes('after'));
    await paused.world.run({});
    expect([paused.got, paused.givenBack.length]).toEqual([['before', 'after'], 2]);
  });

  it('copies of a frame what is left of it on its way', async () => {
    const filter = (_: string, frame: Uint8Array) => frame.slice(0, 2);
    const { world, connection, got, givenBack } = await connected(1, { ...COPYING, filter });
    connection.send(bytes('whole'));
    await world.run({});
    expect([got, givenBack[0]?.length]).toEqual([['wh'], 5]);
  });

  it('does the same whether it copies frames or not', async () => {
    const run = async (copiesFrames: boolean): Promise<unknown> => {
      const { world, connection } = await connected(3, { delayMeanMs: 20, copiesFrames });
      for (let at = 0; at < 50; at += 1) connection.send(bytes(`frame ${at}`));
      await world.run({});
      return [world.trace.digest(), world.steps, world.nowMs];
    };
    expect(await run(true)).toEqual(await run(false));
  });

  it('has the same trace for the same seed, and another one for another', async () => {
    const trace = async (seed: number): Promise<string> => {
      const { world, connection } = await connected(seed, { delayMeanMs: 20 });
      for (let at = 0; at < 50; at += 1) connection.send(bytes(`frame ${at * seed}`));
      await world.run({});
      return world.trace.digest();
    };
    expect(await trace(5)).toBe(await trace(5));
    expect(await trace(5)).not.toBe(await trace(6));
  });
});
