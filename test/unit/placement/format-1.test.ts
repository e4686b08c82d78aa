// Goal: a key is on the same shard in every process, platform and release: it is where its data is.
// Method: golden owners of fixed keys, a byte each, for every strategy over several sets of shards.
import { describe, expect, it } from 'vitest';
import { ModuloStrategy } from '../../../src/placement/modulo.js';
import { RangeStrategy } from '../../../src/placement/range-strategy.js';
import { RendezvousStrategy } from '../../../src/placement/rendezvous.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import type { Placement, PlacementStrategy } from '../../../src/placement/strategy.js';
import { TenantStrategy } from '../../../src/placement/tenant-strategy.js';
import { VirtualShardStrategy } from '../../../src/placement/virtual-shards.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'placement');

/** Plain ones, and those that encodings and comparisons get wrong. */
const KEYS = [
  ...Array.from({ length: 40 }, (_, at) => `key-${at}`),
  '',
  ' ',
  '0',
  'a',
  'A',
  'ä',
  'a\u0308',
  'ключ',
  '\u{ffff}',
  '\u{1f6a2}',
  '\ud83d',
  '\0',
  'x'.repeat(512),
];

const STRATEGIES: readonly PlacementStrategy[] = [
  new RingStrategy(),
  new ModuloStrategy(),
  new RendezvousStrategy(),
  new VirtualShardStrategy(),
  new RangeStrategy(['ä', '\u{1f6a2}', 'key-2', '\u{ffff}', 'a', 'key-30', '1', 'кл', 'x']),
  new TenantStrategy(new RendezvousStrategy()),
];
const SHARDS = [[0], [0, 1, 2], [0, 1, 2, 3], [2, 5, 7, 11, 13, 17, 19, 23], [200, 100, 255]];

const ownersOf = (placement: Placement): Uint8Array =>
  Uint8Array.from(KEYS, (key) => placement.shardOf(key));

describe.each(STRATEGIES)('owners of keys under $name (F-15)', (strategy) => {
  it.each(SHARDS.map((shardIds) => [shardIds]))('on shards %j', (shardIds) => {
    golden.isWritten(`${strategy.name} on ${shardIds}`, ownersOf(strategy.place(shardIds)));
  });

  it('after shards have left and joined', () => {
    const change = { before: [0, 1, 2, 3], after: [1, 2, 3, 4, 5] };
    const before = strategy.place(change.before);
    const after = strategy
      .unitMoves(before, change)
      .reduce<Placement>((placement, move) => placement.moved(move), before);
    golden.isWritten(`${strategy.name} from 0,1,2,3 to 1,2,3,4,5`, ownersOf(after));
  });
});

describe('whole tables of slots', () => {
  const tables = [
    new RingStrategy(),
    new ModuloStrategy(),
    new RendezvousStrategy(),
    new VirtualShardStrategy(),
  ];
  it.each(tables)('of $name on 16 shards have the same sum', (strategy) => {
    const shardIds = Array.from({ length: 16 }, (_, at) => at);
    const sum = crc32c(Uint8Array.from(strategy.place(shardIds).shardIds));
    golden.isWritten(`${strategy.name} on 16 shards`, new Uint8Array(Uint32Array.of(sum).buffer));
  });

  it('and no record is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
