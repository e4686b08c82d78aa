// Goal: the topology changes by the rules, whatever commands come in whatever order.
// Method: each transition in each state, and random runs checked for what always holds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/shared/limits.js';
import {
  documentFault,
  type TopologyCommand,
  type TopologyDocument,
} from '../../../src/topology/document.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { config, genesis } from './topology-fixtures.js';

const create = (name: string, more = {}): TopologyCommand => ({
  kind: 'beginCreateCollection',
  config: config(name, more),
});
const drop = (collectionId: number): TopologyCommand => ({
  kind: 'beginDropCollection',
  collectionId,
});
const finishCreate = (collectionId: number): TopologyCommand => ({
  kind: 'finishCreateCollection',
  collectionId,
});
const finishDrop = (collectionId: number): TopologyCommand => ({
  kind: 'finishDropCollection',
  collectionId,
});

const documentAfter = (...commands: TopologyCommand[]): TopologyDocument =>
  commands.reduce((document, one) => applyTopologyCommand(document, one).document, genesis());

/** The transition, which must not have changed anything. */
function refused(document: TopologyDocument, command: TopologyCommand) {
  const transition = applyTopologyCommand(document, command);
  expect(transition.document).toBe(document);
  return transition.result;
}

describe('creating a collection', () => {
  it('is creating first, then active; each change adds one to the epoch', () => {
    const document = genesis();
    const begun = applyTopologyCommand(document, create('docs'));
    const creating = { collectionId: 1, config: config('docs'), state: 'creating' };
    expect(begun.result).toEqual({ kind: 'ok', collection: creating });
    expect(begun.document).toMatchObject({
      epoch: 2,
      nextCollectionId: 2,
      collections: [creating],
    });
    const finished = applyTopologyCommand(begun.document, finishCreate(1));
    const active = { ...creating, state: 'active' };
    expect(finished.result).toEqual({ kind: 'ok', collection: active });
    expect(finished.document).toMatchObject({ epoch: 3, collections: [active] });
  });

  it('may be repeated with the same settings, in any order of the fields', () => {
    const [a, b] = [
      { path: 'a', type: 'keyword' },
      { path: 'b', type: 'float' },
    ] as const;
    for (const document of [
      documentAfter(create('docs', { indexedFields: [a, b] })),
      documentAfter(create('docs', { indexedFields: [a, b] }), finishCreate(1)),
    ]) {
      const result = refused(document, create('docs', { indexedFields: [b, a] }));
      expect(result).toEqual({ kind: 'ok', collection: document.collections[0] });
    }
  });

  it.each([
    ['dimension', { dimension: 9 }],
    ['metric', { metric: 'dot' }],
    ['m', { m: 17 }],
    ['efConstruction', { efConstruction: 100 }],
    ['indexedFields', { indexedFields: [{ path: 'a', type: 'bool' }] }],
  ])('is refused with another %s, which the error names', (setting, more) => {
    const result = refused(documentAfter(create('docs'), finishCreate(1)), create('docs', more));
    const error = { reason: 'COLLECTION_EXISTS', field: setting, details: { setting } };
    expect(result).toMatchObject({ kind: 'refused', error });
    const [[, value] = []] = Object.entries(more);
    expect(result.kind === 'refused' && result.error.message).toContain(
      `not ${JSON.stringify(value)}: drop it, or choose another name`,
    );
  });

  it('is told what to do however long the settings are that differ', () => {
    const indexedFields = Array.from({ length: LIMITS.indexedFieldsMax.value }, (_, at) => ({
      path: `${at}${'x'.repeat(400)}`,
      type: 'keyword',
    }));
    const long = documentAfter(create('docs', { indexedFields }), finishCreate(1));
    const result = refused(long, create('docs', { indexedFields: indexedFields.slice(1) }));
    const message = result.kind === 'refused' ? result.error.message : '';
    expect(message.length).toBeLessThan(500);
    expect(message).toContain('drop it, or choose another name');
  });

  it('waits for a drop of the same name to end', () => {
    const dropping = documentAfter(create('docs'), finishCreate(1), drop(1));
    const error = { reason: 'COLLECTION_NOT_READY' };
    expect(refused(dropping, create('docs'))).toMatchObject({ kind: 'refused', error });
  });

  it('stops at the limit of collections, one below, at and above it', () => {
    const { value } = LIMITS.collectionsMax;
    const names = Array.from({ length: value - 1 }, (_, at) => `c${at}`);
    const almost = documentAfter(...names.map((name) => create(name)));
    const full = applyTopologyCommand(almost, create('last'));
    expect(full.result.kind).toBe('ok');
    expect(refused(full.document, create('more'))).toMatchObject({
      kind: 'refused',
      error: { reason: 'LIMIT_EXCEEDED', limit: { name: 'collectionsMax', value } },
    });
    expect(refused(full.document, create('last')).kind).toBe('ok');
  });
});

describe('dropping a collection', () => {
  const active = documentAfter(create('docs'), finishCreate(1));

  it('is dropping first, then gone, and may be repeated meanwhile', () => {
    const begun = applyTopologyCommand(active, drop(1));
    expect(begun.document).toMatchObject({ epoch: 4, collections: [{ state: 'dropping' }] });
    expect(refused(begun.document, drop(1))).toEqual(begun.result);
    const finished = applyTopologyCommand(begun.document, finishDrop(1));
    expect(finished.result).toMatchObject({ kind: 'ok', collection: { collectionId: 1 } });
    expect(finished.document).toMatchObject({ epoch: 5, collections: [] });
  });

  it('never gives the numeric id out again', () => {
    const gone = documentAfter(create('docs'), finishCreate(1), drop(1), finishDrop(1));
    const again = applyTopologyCommand(gone, create('docs'));
    expect(again.result).toMatchObject({ kind: 'ok', collection: { collectionId: 2 } });
  });

  it('is refused where there is no such collection', () => {
    const error = { reason: 'COLLECTION_NOT_FOUND' };
    expect(refused(active, drop(7))).toMatchObject({ kind: 'refused', error });
    expect(refused(active, finishDrop(7))).toMatchObject({ kind: 'refused', error });
    expect(refused(active, finishCreate(7))).toMatchObject({ kind: 'refused', error });
  });

  it('waits for the creation to end, and for its own begin', () => {
    const error = { reason: 'COLLECTION_NOT_READY' };
    const creating = documentAfter(create('docs'));
    expect(refused(creating, drop(1))).toMatchObject({ kind: 'refused', error });
    expect(refused(creating, finishDrop(1))).toMatchObject({ kind: 'refused', error });
    expect(refused(active, finishDrop(1))).toMatchObject({ kind: 'refused', error });
    const dropping = documentAfter(create('docs'), finishCreate(1), drop(1));
    expect(refused(dropping, finishCreate(1))).toMatchObject({ kind: 'refused', error });
  });
});

describe('any run of commands', () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const command: fc.Arbitrary<TopologyCommand> = fc.oneof(
    fc.tuple(names, fc.constantFrom(8, 9)).map(([name, dimension]) => create(name, { dimension })),
    fc.integer({ min: 1, max: 12 }).map(drop),
    fc.integer({ min: 1, max: 12 }).map(finishCreate),
    fc.integer({ min: 1, max: 12 }).map(finishDrop),
  );

  it('keeps the document sound, ids unique and growing, and the epoch counting changes', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        let document = genesis();
        const given = new Map<number, string>();
        for (const one of commands) {
          const { document: next, result } = applyTopologyCommand(document, one);
          expect(documentFault(next)).toBeUndefined();
          expect(next.epoch).toBe(next === document ? document.epoch : document.epoch + 1);
          expect(next.nextCollectionId).toBeGreaterThanOrEqual(document.nextCollectionId);
          if (result.kind === 'refused') expect(next).toBe(document);
          for (const { collectionId, config: made } of next.collections) {
            const name = given.get(collectionId) ?? made.name;
            expect(made.name).toBe(name);
            given.set(collectionId, name);
          }
          document = next;
        }
        expect(document.nextCollectionId).toBe(given.size + 1);
      }),
    );
  });

  it('ends in the same document on every replica', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), (commands) => {
        expect(documentAfter(...commands)).toEqual(documentAfter(...commands));
      }),
      { numRuns: 30 },
    );
  });
});
