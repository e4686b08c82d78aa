// Goal: the topology's bytes come back as they went, and nothing else gets in.
// Method: round trips, and every field of the JSON damaged in turn.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MalformedBytesError, utf8 } from '../../../src/shared/bytes.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import {
  decodeTopology,
  decodeTopologyCommand,
  encodeTopology,
  encodeTopologyCommand,
  TOPOLOGY_FORMAT,
} from '../../../src/topology/codec.js';
import {
  CHANGE_STAGES,
  type ShardEntry,
  type TopologyCommand,
  type TopologyDocument,
} from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { config, genesis, seed } from './topology-fixtures.js';

const LATER_FIELDS = [
  'leases',
  'nextReplicaId',
  'resets',
  'change',
  'topologyGroup',
  'add',
  'remove',
  'zone',
];
const FIELDS = [{ path: 'a.b', type: 'datetime' }] as const;

function fullDocument(): TopologyDocument {
  const command: TopologyCommand = {
    kind: 'beginCreateCollection',
    config: config('docs', { indexedFields: FIELDS }),
  };
  const commands: TopologyCommand[] = [
    command,
    { kind: 'resetReplica', groupId: 1, replicaId: 2 },
    { kind: 'resetReplica', groupId: 0, replicaId: 3 },
    { kind: 'readmitNode', nodeId: 1, storeId: 'store-9' },
    { kind: 'setNodeZone', nodeId: 1, zone: 'b' },
  ];
  return commands.reduce(
    (document, one) => applyTopologyCommand(document, one).document,
    genesis(),
  );
}

const withFormat = (json: string, format = TOPOLOGY_FORMAT): Uint8Array =>
  Uint8Array.of(format, ...utf8(json));

/** Paths to every value in a JSON document; of long lists only the first element. */
function pathsOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const keys = Array.isArray(value) ? (value.length > 0 ? [0] : []) : Object.keys(value);
  const inner = keys.flatMap((key) =>
    pathsOf((value as Record<string | number, unknown>)[key], [...path, key]),
  );
  return path.length > 0 ? [path, ...inner] : inner;
}

function replaced(document: object, path: readonly (string | number)[], value: unknown): string {
  const copy = structuredClone(document) as Record<string | number, unknown>;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1) ?? '';
  if (value === undefined) delete at[last];
  else at[last] = value;
  return JSON.stringify(copy);
}

/** Elements of lists, and fields that documents of the version before do not have. */
function mayBeMissing(key: string | number | undefined): boolean {
  return typeof key === 'number' || LATER_FIELDS.includes(key ?? '');
}

describe('the topology codec', () => {
  it('brings documents back', () => {
    for (const document of [fullDocument(), initialTopology(seed(12, 48, 5))]) {
      expect(decodeTopology(encodeTopology(document))).toEqual(document);
    }
  });

  it('brings commands back', () => {
    const commands: TopologyCommand[] = [
      { kind: 'beginCreateCollection', config: config('ключ', { indexedFields: FIELDS }) },
      { kind: 'finishCreateCollection', collectionId: 1 },
      { kind: 'beginDropCollection', collectionId: 3 },
      { kind: 'finishDropCollection', collectionId: 2 },
      { kind: 'addReplica', groupId: 3, nodeId: 4 },
      { kind: 'removeReplica', groupId: 3, replicaId: 7 },
      { kind: 'resetReplica', groupId: 0, replicaId: 7 },
      { kind: 'cancelReplicaChange', groupId: 0, changeId: 7 },
      { kind: 'cancelReplicaChange', groupId: 0 },
      { kind: 'readmitNode', nodeId: 2, storeId: 'new' },
      { kind: 'setNodeZone', nodeId: 2, zone: 'b' },
      { kind: 'setNodeZone', nodeId: 2 },
      { kind: 'promoteReplica', groupId: 0, replicaId: 7 },
      { kind: 'demoteReplica', groupId: 0, replicaId: 7 },
      ...CHANGE_STAGES.map((stage) => ({
        kind: 'advanceReplicaChange' as const,
        groupId: 2,
        change: { add: { replicaId: 5, nodeId: 1 }, remove: 2, stage },
      })),
      { kind: 'advanceReplicaChange', groupId: 2, change: { remove: 2, stage: 'switching' } },
    ];
    for (const command of commands) {
      expect(decodeTopologyCommand(encodeTopologyCommand(command))).toEqual(command);
    }
  });

  it('names each field of a document that is missing or of the wrong kind', () => {
    const document = fullDocument();
    for (const path of pathsOf(document)) {
      for (const value of [undefined, null, { a: 1 }, -1]) {
        if (value === undefined && mayBeMissing(path.at(-1))) continue;
        const bytes = withFormat(replaced(document, path, value));
        expect(() => decodeTopology(bytes), path.join('.')).toThrow(MalformedBytesError);
      }
    }
  });

  it('reads what the version before wrote: no ids given out, no change, no leases', () => {
    const old = JSON.parse(JSON.stringify(initialTopology(seed(3, 2))));
    delete old.settings.leases;
    delete old.topologyGroup;
    for (const shard of old.shards) {
      delete shard.nextReplicaId;
      delete shard.resets;
    }
    expect(decodeTopology(withFormat(JSON.stringify(old)))).toEqual(initialTopology(seed(3, 2)));
  });

  it('takes no replicas whose parts do not fit together', () => {
    const document = genesis();
    const broken: [RegExp, Partial<ShardEntry>][] = [
      [/given out again/, { nextReplicaId: 3 }],
      [/given out again/, { resets: [9] }],
      [/waits twice/, { resets: [1, 1] }],
      [/changes nothing/, { change: { stage: 'switching' } }],
      [/adding nobody/, { change: { remove: 1, stage: 'adding' } }],
      [/removes a replica that does not exist/, { change: { remove: 9, stage: 'switching' } }],
      [/one id/, { change: { add: { replicaId: 1, nodeId: 1 }, remove: 1, stage: 'adding' } }],
      [
        /a node that does not exist/,
        { nextReplicaId: 5, change: { add: { replicaId: 4, nodeId: 9 }, stage: 'adding' } },
      ],
      [
        /two replicas on one node/,
        { nextReplicaId: 5, change: { add: { replicaId: 4, nodeId: 1 }, stage: 'adding' } },
      ],
    ];
    for (const [message, change] of broken) {
      const shards = document.shards.map((shard) => ({ ...shard, ...change }));
      expect(() => decodeTopology(encodeTopology({ ...document, shards }))).toThrow(message);
    }
  });

  it('takes no document whose parts do not fit together', () => {
    const document = genesis();
    const [shard] = document.shards;
    const withCollection = fullDocument();
    const broken: [RegExp, Partial<TopologyDocument>][] = [
      [/slot 0 belongs/, { slotTable: [99, ...document.slotTable.slice(1)] }],
      [/1023 slots/, { slotTable: document.slotTable.slice(1) }],
      [/two shards have one id/, { shards: [...document.shards, ...document.shards] }],
      [
        /does not exist/,
        {
          nodes: document.nodes.slice(1),
          topologyReplicas: document.topologyReplicas.slice(1),
        },
      ],
      [/not on every node/, { topologyReplicas: [] }],
      [/collection id/, { collections: withCollection.collections, nextCollectionId: 1 }],
      [/there is no node/, { nodes: [] }],
      [/has no replica/, { shards: document.shards.map((one) => ({ ...one, replicas: [] })) }],
      [
        /on one node/,
        {
          shards: document.shards.map((one) => ({
            ...one,
            replicas: [
              { replicaId: 1, nodeId: 1 },
              { replicaId: 2, nodeId: 1 },
            ],
          })),
        },
      ],
      [
        /two groups have one id/,
        { shards: document.shards.map((one) => ({ ...one, groupId: shard?.groupId ?? 1 })) },
      ],
    ];
    for (const [message, change] of broken) {
      const bytes = encodeTopology({ ...document, ...change });
      expect(() => decodeTopology(bytes)).toThrow(MalformedBytesError);
      expect(() => decodeTopology(bytes)).toThrow(message);
    }
  });

  it('tells a newer format from damage', () => {
    const newer = withFormat(JSON.stringify(genesis()), TOPOLOGY_FORMAT + 1);
    expect(() => decodeTopology(newer)).toThrow(
      expect.objectContaining({ reason: 'UNSUPPORTED_VERSION' }),
    );
    expect(() => decodeTopology(withFormat('{}', 0))).toThrow(MalformedBytesError);
    expect(() => decodeTopologyCommand(withFormat('{"kind":"other"}'))).toThrow(/other/);
  });

  it('never lets other bytes pass, and fails by name (P-8)', () => {
    const bytes = encodeTopology(genesis());
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat({ max: bytes.length - 1 }).map((length) => bytes.subarray(0, length)),
    );
    fc.assert(
      fc.property(damaged, (one) => {
        for (const decode of [decodeTopology, decodeTopologyCommand]) {
          try {
            decode(one);
            expect.unreachable('it was decoded');
          } catch (error) {
            expect(error instanceof MalformedBytesError || isFlotillaError(error)).toBe(true);
          }
        }
      }),
    );
  });
});
