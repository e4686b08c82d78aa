// Goal: every Network keeps the contract of Connection and Listener in shared/environment.ts.
// Method: two ends of real links of the implementation under test, waiting for conditions.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Connection, Listener, Network } from '../../src/shared/environment.js';
import { LIMITS } from '../../src/shared/limits.js';
import { until } from '../unit/transport/real-time.js';

export interface NetworkHarness {
  readonly network: Network;
  /** To listen on; the network fills in what is free. */
  readonly listenAddress: string;
  /** Whether its links copy frames, and call `onSent`. */
  readonly givesFramesBack: boolean;
  close(): Promise<void>;
}

/** One end of a link that writes down what happens to it. */
class End {
  readonly frames: Uint8Array[] = [];
  readonly closes: (Error | undefined)[] = [];
  drains = 0;
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  start(onSent: (frame: Uint8Array) => void = () => undefined): this {
    this.connection.start({
      onFrame: (frame) => this.frames.push(frame),
      onDrain: () => this.drains++,
      onSent,
      onClose: (error) => this.closes.push(error),
    });
    return this;
  }

  texts(): string[] {
    return this.frames.map((frame) => Buffer.from(frame).toString());
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

export function networkSuite(name: string, create: () => Promise<NetworkHarness>): void {
  describe(`network: ${name}`, () => {
    let harness: NetworkHarness;
    let listener: Listener;
    let accepted: Connection[];

    beforeEach(async () => {
      harness = await create();
      accepted = [];
      listener = await harness.network.listen(harness.listenAddress, (connection) =>
        accepted.push(connection),
      );
    });

    afterEach(async () => {
      await listener.close();
      await harness.close();
    });

    async function link(): Promise<{ dialled: End; received: End }> {
      const count = accepted.length;
      const dialled = new End(await harness.network.dial(listener.address, { timeoutMs: 10_000 }));
      await until(() => accepted.length > count);
      const connection = accepted[count];
      if (connection === undefined) throw new Error('no connection was accepted');
      return { dialled, received: new End(connection) };
    }

    it('keeps the order of frames, in both directions at once', async () => {
      const { dialled, received } = await link();
      dialled.start();
      received.start();
      const sent = Array.from({ length: 500 }, (_, at) => `frame ${at}`);
      for (const text of sent) {
        dialled.connection.send(bytes(text));
        received.connection.send(bytes(`back ${text}`));
      }
      await until(() => received.frames.length === 500 && dialled.frames.length === 500);
      expect(received.texts()).toEqual(sent);
      expect(dialled.texts()).toEqual(sent.map((text) => `back ${text}`));
    });

    it('keeps frames until the receiver starts', async () => {
      const { dialled, received } = await link();
      dialled.start();
      dialled.connection.send(bytes('one'));
      dialled.connection.send(bytes('two'));
      received.start();
      await until(() => received.frames.length === 2);
      expect(received.texts()).toEqual(['one', 'two']);
    });

    it('carries empty frames and large ones whole', async () => {
      const { dialled, received } = await link();
      dialled.start();
      received.start();
      const large = new Uint8Array(8 * 1024 * 1024).map((_, at) => (at * 31) % 251);
      dialled.connection.send(new Uint8Array(0));
      dialled.connection.send(large);
      await until(() => received.frames.length === 2);
      expect(received.frames[0]).toHaveLength(0);
      expect(Buffer.compare(received.frames[1] ?? new Uint8Array(0), large)).toBe(0);
    });

    it.each(['dialled', 'received'] as const)(
      'gives no frame of the %s side back that somebody still reads',
      async (side) => {
        const ends = await link();
        const frameOf = (at: number): Uint8Array => {
          return new Uint8Array(1 + ((at * 7_919) % 300_000)).fill(at);
        };
        ends.dialled.start((frame) => frame.fill(0xdb));
        ends.received.start((frame) => frame.fill(0xdb));
        const { frames } = side === 'dialled' ? ends.received : ends.dialled;
        for (let at = 0; at < 60; at++) ends[side].connection.send(frameOf(at));
        await until(() => frames.length === 60);
        for (const [at, frame] of frames.entries()) {
          expect(Buffer.compare(frame, frameOf(at))).toBe(0);
        }
      },
    );

    it.each(['dialled', 'received'] as const)(
      'gives each frame of the %s side back once, in a later turn, or none at all',
      async (side) => {
        const ends = await link();
        const frameOf = (at: number): Uint8Array => new Uint8Array(at * 5_000).fill(at);
        const sent = Array.from({ length: 60 }, (_, at) => frameOf(at));
        const back: Uint8Array[] = [];
        ends.dialled.start((frame) => back.push(frame));
        ends.received.start((frame) => back.push(frame));
        for (const frame of sent) ends[side].connection.send(frame);
        expect(back).toEqual([]);
        const { frames } = side === 'dialled' ? ends.received : ends.dialled;
        const wanted = harness.givesFramesBack ? sent.length : 0;
        await until(() => frames.length === sent.length && back.length >= wanted);
        // Another link's round trip: what could come twice would have come by now.
        const later = await link();
        later.dialled.start();
        later.received.start();
        later.dialled.connection.send(bytes('ping'));
        await until(() => later.received.frames.length === 1);
        expect(back).toHaveLength(wanted);
        expect(new Set(back).size).toBe(wanted);
        expect(back.every((frame) => sent.includes(frame))).toBe(true);
      },
    );

    it.each(['dialled', 'received'] as const)(
      'carries what the %s side writes into the memory of frames that came back',
      async (side) => {
        const ends = await link();
        const spare: Uint8Array[] = [];
        ends.dialled.start((frame) => spare.push(new Uint8Array(frame.buffer)));
        ends.received.start((frame) => spare.push(new Uint8Array(frame.buffer)));
        const { frames } = side === 'dialled' ? ends.received : ends.dialled;
        let rooms = 0;
        for (let at = 0; at < 30; at++) {
          const room = spare.pop() ?? new Uint8Array(150_000);
          if (room.every((byte) => byte === 0)) rooms++;
          ends[side].connection.send(room.subarray(at).fill(1 + at));
          await until(() => frames.length > at && (spare.length > 0 || !harness.givesFramesBack));
        }
        expect(rooms).toBe(harness.givesFramesBack ? 1 : 30);
        for (const [at, frame] of frames.entries()) {
          expect(Buffer.compare(frame, new Uint8Array(150_000 - at).fill(1 + at))).toBe(0);
        }
      },
    );

    it('refuses a frame above frameBytesMax with an error that names the limit', async () => {
      const { dialled, received } = await link();
      dialled.start();
      received.start();
      const tooLarge = new Uint8Array(LIMITS.frameBytesMax.value + 1);
      expect(() => dialled.connection.send(tooLarge)).toThrow(/at most 67108864/);
      dialled.connection.send(bytes('after'));
      await until(() => received.frames.length === 1);
      expect(received.texts()).toEqual(['after']);
    });

    it('says when its buffer is full and when it is empty again', async () => {
      const { dialled, received } = await link();
      dialled.start();
      const frame = new Uint8Array(256 * 1024);
      let sent = 0;
      do sent++;
      while (dialled.connection.send(frame) && sent < 1_000);
      expect(sent).toBeLessThan(1_000);
      received.start();
      await until(() => dialled.drains === 1 && received.frames.length === sent);
      expect(dialled.connection.send(bytes('more'))).toBe(true);
    });

    it.each(['dialled', 'received'] as const)(
      'tells both sides once when the %s side closes, after the frames before it',
      async (side) => {
        const ends = await link();
        ends.dialled.start();
        ends.received.start();
        const closing = ends[side];
        const other = side === 'dialled' ? ends.received : ends.dialled;
        closing.connection.send(bytes('last'));
        closing.connection.close();
        closing.connection.close();
        expect(closing.connection.send(bytes('dropped'))).toBe(false);
        await until(() => closing.closes.length > 0 && other.closes.length > 0);
        other.connection.close();
        // Another link's round trip: what could come twice would have come by now.
        const later = await link();
        later.dialled.start();
        later.received.start();
        later.dialled.connection.send(bytes('ping'));
        await until(() => later.received.frames.length === 1);
        expect(other.texts()).toEqual(['last']);
        expect(closing.closes).toEqual([undefined]);
        expect(other.closes).toEqual([undefined]);
      },
    );

    it('tells a close that came before the start', async () => {
      const { dialled, received } = await link();
      received.start();
      received.connection.send(bytes('kept'));
      received.connection.close();
      await until(() => received.closes.length === 1);
      dialled.start();
      await until(() => dialled.closes.length === 1);
      expect(dialled.texts()).toEqual(['kept']);
    });

    it('closes accepted links with the listener, and refuses dials from then on', async () => {
      const { dialled, received } = await link();
      dialled.start();
      received.start();
      await listener.close();
      await until(() => dialled.closes.length === 1 && received.closes.length === 1);
      await expect(harness.network.dial(listener.address, { timeoutMs: 30_000 })).rejects.toThrow(
        listener.address,
      );
    });

    it('takes the same address again after a close, and dials reach the new listener', async () => {
      const before = listener.address;
      await listener.close();
      listener = await harness.network.listen(before, (connection) => accepted.push(connection));
      const { dialled, received } = await link();
      dialled.start();
      received.start();
      dialled.connection.send(bytes('again'));
      await until(() => received.frames.length === 1);
    });

    it('refuses to listen twice on one address', async () => {
      await expect(harness.network.listen(listener.address, () => undefined)).rejects.toThrow();
    });

    it('keeps several listeners and links apart', async () => {
      const others: Connection[] = [];
      const second = await harness.network.listen(harness.listenAddress, (connection) =>
        others.push(connection),
      );
      expect(second.address).not.toBe(listener.address);
      const first = await link();
      const other = new End(await harness.network.dial(second.address, { timeoutMs: 10_000 }));
      await until(() => others.length === 1);
      for (const end of [first.dialled, first.received, other]) end.start();
      other.connection.send(bytes('to the second'));
      first.dialled.connection.send(bytes('to the first'));
      await until(() => first.received.frames.length === 1);
      expect(first.received.texts()).toEqual(['to the first']);
      await second.close();
      await until(() => other.closes.length === 1);
      expect(first.dialled.closes).toEqual([]);
    });
  });
}
