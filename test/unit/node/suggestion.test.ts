// Goal: a misspelt name is answered with the one that was meant, and with none where none is near.
// Method: examples, and the properties of a distance.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { editDistance, nearestOf } from '../../../src/node/suggestion.js';

it('names the nearest of the known', () => {
  const known = ['cluster.shards', 'cluster.nodes', 'node.id'];
  expect(nearestOf('cluster.shard', known)).toBe('cluster.shards');
  expect(nearestOf('Cluster.Nodse', known)).toBe('cluster.nodes');
  expect(nearestOf('something else entirely', known)).toBeUndefined();
  expect(nearestOf('node.id', [])).toBeUndefined();
});

it('counts edits as a distance does', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3);
  const text = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(text, text, text, (a, b, c) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
      expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});
