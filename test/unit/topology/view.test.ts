// Goal: watchers see each newer document once, in order, and lookups see the newest.
// Method: documents published out of order and twice.
import { describe, expect, it } from 'vitest';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { config, genesis } from './topology-fixtures.js';

const creating = (): TopologyDocument =>
  applyTopologyCommand(genesis(), { kind: 'beginCreateCollection', config: config('docs') })
    .document;

const active = (): TopologyDocument =>
  applyTopologyCommand(creating(), { kind: 'finishCreateCollection', collectionId: 1 }).document;

const refusal = (holder: TopologyHolder, name: string): unknown => {
  try {
    return holder.collection(name);
  } catch (error) {
    return error;
  }
};

describe('TopologyHolder (M-15)', () => {
  it('tells watchers of newer documents only', () => {
    const holder = new TopologyHolder();
    const epochs: number[] = [];
    holder.onChange(({ epoch }) => epochs.push(epoch));
    expect(holder.publish(creating())).toBe(true);
    expect(holder.publish(genesis())).toBe(false);
    expect(holder.publish(creating())).toBe(false);
    expect(holder.publish(active())).toBe(true);
    expect(epochs).toEqual([2, 3]);
    expect(holder.current()).toEqual(active());
  });

  it('shows watchers the document that they are told of', () => {
    const holder = new TopologyHolder();
    holder.onChange((document) => expect(holder.current()).toBe(document));
    expect(holder.publish(genesis())).toBe(true);
  });

  it('stops telling a watcher that stopped, also while others are told', () => {
    const holder = new TopologyHolder();
    const seen: string[] = [];
    const stop = holder.onChange(() => {
      seen.push('a');
      stop();
      stop();
    });
    holder.onChange(() => seen.push('b'));
    holder.publish(genesis());
    holder.publish(creating());
    expect(seen).toEqual(['a', 'b', 'b']);
  });

  it('finds active collections, and says why it does not find others', () => {
    const holder = new TopologyHolder();
    expect(refusal(holder, 'docs')).toMatchObject({ reason: 'NODE_NOT_READY' });
    holder.publish(genesis());
    expect(refusal(holder, 'docs')).toMatchObject({ reason: 'COLLECTION_NOT_FOUND' });
    holder.publish(creating());
    expect(refusal(holder, 'docs')).toMatchObject({ reason: 'COLLECTION_NOT_READY' });
    holder.publish(active());
    expect(holder.collection('docs')).toMatchObject({ collectionId: 1, state: 'active' });
  });
});
