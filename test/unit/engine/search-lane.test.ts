// Goal: a plain search through the lane is answered as one by a message, also where a ring is full
// or no answer known in one turn. Method: both ends in this thread, random queries and hits.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReadScope, SearchQuery } from '../../../src/engine/engine.js';
import { type NamedHit, type PlainHit, plainHit } from '../../../src/engine/plain-search.js';
import { recordName } from '../../../src/engine/record-name.js';
import type { SearchFrame } from '../../../src/engine/search-frames.js';
import { newSearchLane, SearchCaller, SearchServer } from '../../../src/engine/search-lane.js';
import { codePoint } from '../../support/code-point.js';
import { query, SCOPE } from './shard-driver.js';

interface Answer {
  readonly id: number;
  readonly hits: readonly PlainHit[];
}

/** Both ends of a lane, and what has gone over it; whoever is woken runs when told to. */
class Lane {
  readonly asked: SearchFrame[] = [];
  readonly received: Answer[] = [];
  /** Answers that went another way. */
  readonly other: Answer[] = [];
  readonly wakeUps = { server: 0, caller: 0 };
  readonly turns: (() => void)[] = [];
  readonly caller: SearchCaller;
  readonly server: SearchServer;
  nowMs = 0;

  constructor(
    search: (frame: SearchFrame) => readonly NamedHit[] | undefined,
    onWake: () => void = () => undefined,
  ) {
    const lane = newSearchLane();
    this.caller = new SearchCaller(lane, () => this.wakeUps.server++);
    this.server = new SearchServer(lane, {
      environment: {
        clock: { wallMs: () => 0, monotonicMs: () => this.nowMs },
        scheduler: {
          soon: (task) => void this.turns.push(task),
          after: () => ({ cancel: () => undefined }),
          every: () => ({ cancel: () => undefined }),
        },
      },
      search: (frame) => {
        this.asked.push(frame);
        return search(frame);
      },
      answer: ({ id }, hits) => this.other.push({ id, hits: hits.map(plainHit) }),
      wakeCaller: () => {
        this.wakeUps.caller++;
        onWake();
      },
    });
  }

  receive(): void {
    this.caller.receive((id, hits) => this.received.push({ id, hits }));
  }

  runTurns(): void {
    while (this.turns.length > 0) this.turns.shift()?.();
  }
}

function namedHit(at: number, id = `id-${at}`, tenant = ''): NamedHit {
  return { name: recordName({ slot: at, tenant, id }), version: BigInt(at), distance: at / 3 };
}

function send(lane: Lane, id: number, one: SearchQuery = query([1, 2], 1)): boolean {
  return lane.caller.send(id, SCOPE, [one]);
}

describe('a search lane', () => {
  it('carries queries and hits as they are', () => {
    const number = fc.oneof(fc.nat(), fc.double(), fc.constant(Number.NaN));
    const asked = fc.record({
      id: fc.maxSafeNat(),
      collectionId: fc.maxSafeNat(),
      ownershipVersion: fc.maxSafeNat(),
      k: number,
      ef: number,
      scoreThreshold: fc.oneof(number, fc.constant(undefined)),
      tenant: fc.option(fc.string({ unit: codePoint, maxLength: 12 }), { nil: undefined }),
      vector: fc.uint8Array({ maxLength: 40 }),
      filter: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
    });
    const text = fc.string({ unit: codePoint, maxLength: 12 });
    const latin = fc.stringMatching(/^[a-z\u00e9]{0,20}$/);
    const name = fc.oneof(text, latin);
    const hit = fc.record({
      key: fc.record({ slot: fc.nat(1_023), tenant: name, id: name }),
      version: fc.bigInt(0n, 2n ** 64n - 1n),
      distance: fc.double(),
    });
    fc.assert(
      fc.property(asked, fc.array(hit, { maxLength: 30 }), (call, found) => {
        const { id, collectionId, ownershipVersion, scoreThreshold, ...asked } = call;
        const { tenant, filter, ...always } = asked;
        const selection = {
          ...(tenant !== undefined && { tenant }),
          ...(filter !== undefined && { filter }),
        };
        const rest = { ...always, ...selection };
        const lane = new Lane(() =>
          found.map(({ key, ...hitRest }) => ({ name: recordName(key), ...hitRest })),
        );
        const scope: ReadScope = { collectionId, ownershipVersion };
        const ids = { includeValues: false, includeMetadata: false };
        const limit = scoreThreshold === undefined ? {} : { scoreThreshold };
        expect(lane.caller.send(id, scope, [{ ...rest, ...limit, ...ids }])).toBe(true);
        lane.server.serve();
        lane.receive();
        const threshold = scoreThreshold ?? Number.POSITIVE_INFINITY;
        const arrived = { ...rest, scoreThreshold: threshold, ...ids };
        expect(lane.asked).toEqual([{ id, scope, query: arrived }]);
        const hits = found.map(({ key: { tenant, id: recordId }, version, distance }) => {
          return { tenant, id: recordId, version, distance };
        });
        expect(lane.received).toEqual([{ id, hits }]);
      }),
    );
  });

  it('takes one plain query, and nothing else', () => {
    const lane = new Lane(() => []);
    const plain = query([1, 2], 1);
    expect(lane.caller.send(1, SCOPE, [])).toBe(false);
    expect(lane.caller.send(2, SCOPE, [plain, plain])).toBe(false);
    for (const other of [{ includeValues: true }, { includeMetadata: true }]) {
      expect(send(lane, 3, query([1, 2], 1, other))).toBe(false);
    }
    expect(lane.wakeUps.server).toBe(0);
    expect(send(lane, 4, plain)).toBe(true);
    expect(send(lane, 5, { ...plain, tenant: 't', filter: new Uint8Array(3) })).toBe(true);
    expect(lane.wakeUps.server).toBe(1);
  });

  it('refuses queries while its ring is full, and takes them again', () => {
    const lane = new Lane(() => []);
    const large = query(new Float32Array(4_096), 1);
    let sent = 0;
    while (send(lane, sent, large)) sent++;
    expect(sent).toBe(15);
    expect(send(lane, sent, large)).toBe(false);
    lane.server.serve();
    lane.receive();
    expect(lane.received.map(({ id }) => id)).toEqual([...Array(sent).keys()]);
    expect(send(lane, sent, large)).toBe(true);
  });

  it('answers by another way what has no room, and loses nothing (P-10)', () => {
    const many = Array.from({ length: 1_000 }, (_, at) => namedHit(at));
    const lane = new Lane(() => many);
    for (let id = 0; id < 10; id++) send(lane, id);
    lane.server.serve();
    expect(lane.other.length).toBeGreaterThan(0);
    lane.receive();
    expect(lane.received.length).toBeGreaterThan(0);
    const answered = [...lane.received, ...lane.other];
    expect(answered.map(({ id }) => id).sort((a, b) => a - b)).toEqual([...Array(10).keys()]);
    for (const { hits } of answered) expect(hits).toEqual(many.map(plainHit));
  });

  it('wakes either end once, and the caller after a few answers', () => {
    const lane = new Lane(() => [namedHit(1)]);
    for (let id = 0; id < 10; id++) send(lane, id);
    expect(lane.wakeUps).toEqual({ server: 1, caller: 0 });
    lane.server.serve();
    // The caller was woken after the first few, and has not looked since.
    expect(lane.wakeUps).toEqual({ server: 1, caller: 1 });
    lane.receive();
    expect(lane.received).toHaveLength(10);
    send(lane, 10);
    expect(lane.wakeUps.server).toBe(2);
  });

  it.each([
    ['many quick ones, then when no more wait than are answered', 0, [8, 14, 17, 19, 20]],
    ['a few slow ones', 0.5, [4, 8]],
    ['two very slow ones', 1, [2, 4]],
  ])('wakes the caller after %s', (_name, searchMs, wakes) => {
    const woken: number[] = [];
    const lane: Lane = new Lane(
      () => {
        lane.nowMs += searchMs;
        return [];
      },
      () => {
        lane.receive();
        woken.push(lane.received.length);
      },
    );
    for (let id = 0; id < 20; id++) send(lane, id);
    lane.server.serve();
    expect(woken).toEqual(wakes);
  });

  it('lets others go first after a slice, and goes on without being woken (H2)', () => {
    const lane: Lane = new Lane(() => {
      lane.nowMs += 3;
      return [];
    });
    for (let id = 0; id < 5; id++) send(lane, id);
    lane.server.serve();
    expect([lane.asked.length, lane.turns.length]).toEqual([2, 1]);
    // Woken meanwhile it does not do it twice.
    lane.server.serve();
    expect([lane.asked.length, lane.turns.length]).toEqual([2, 1]);
    lane.runTurns();
    expect([lane.asked.length, lane.turns.length]).toEqual([5, 0]);
    lane.receive();
    expect(lane.received).toHaveLength(5);
  });

  it('lets some go before others, as long as a step takes, also while a turn is due (H2)', () => {
    const lane: Lane = new Lane(() => {
      lane.nowMs += 0.2;
      return [];
    });
    lane.server.goFirst();
    expect(lane.wakeUps.caller).toBe(0);
    for (let id = 0; id < 40; id++) send(lane, id);
    lane.server.goFirst();
    expect([lane.asked.length, lane.turns.length]).toEqual([3, 0]);
    lane.receive();
    expect(lane.received).toHaveLength(3);
    lane.server.serve();
    expect([lane.asked.length, lane.turns.length]).toEqual([23, 1]);
    lane.server.goFirst();
    expect([lane.asked.length, lane.turns.length]).toEqual([26, 1]);
    lane.runTurns();
    expect(lane.asked.map(({ id }) => id)).toEqual([...Array(40).keys()]);
    lane.receive();
    expect(lane.received).toHaveLength(40);
  });

  it('answers what came by then in one turn, and what comes meanwhile in the next', () => {
    const lane: Lane = new Lane(({ id }) => {
      if (id < 3) send(lane, id + 10);
      return [];
    });
    for (let id = 0; id < 3; id++) send(lane, id);
    lane.server.serve();
    expect([lane.asked.length, lane.turns.length]).toEqual([3, 1]);
    lane.runTurns();
    expect(lane.asked.map(({ id }) => id)).toEqual([0, 1, 2, 10, 11, 12]);
    expect(lane.wakeUps.server).toBe(1);
  });

  it('answers all that waits before it ends, however long it takes', () => {
    const lane: Lane = new Lane(() => {
      lane.nowMs += 100;
      return [];
    });
    for (let id = 0; id < 5; id++) send(lane, id);
    lane.server.finish();
    lane.receive();
    expect(lane.received.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4]);
    expect(lane.server.hasSearches).toBe(false);
  });

  it('leaves to the other way what is not known in one turn', () => {
    const lane = new Lane(({ id }) => (id % 2 === 0 ? [namedHit(id)] : undefined));
    for (let id = 0; id < 6; id++) send(lane, id);
    lane.server.serve();
    lane.receive();
    expect(lane.received.map(({ id }) => id)).toEqual([0, 2, 4]);
    expect(lane.other).toEqual([]);
  });
});
