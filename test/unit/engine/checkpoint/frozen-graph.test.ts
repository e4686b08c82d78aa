// Goal: a frozen graph finds only what it still covers; what was dropped becomes tombstones when it
// is thawed (H5). Method: a graph alone, saved and loaded in memory.
import { describe, expect, it } from 'vitest';
import { Graph } from '../../../../src/engine/graph.js';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import { MemoryDisk } from '../../../../src/shared/memory-disk.js';

const ORIGIN = Float32Array.of(0, 0);
const OPTIONS = { dimension: 2, metric: 'l2', m: 16, efConstruction: 100 } as const;

/** Rows 10, 11, ... at (0, 0), (1, 0), ... */
function graphOf(rows: number): Graph {
  const graph = new Graph(new FlatIndex(OPTIONS));
  for (let at = 0; at < rows; at++) graph.insert(10 + at, Float32Array.of(at, 0));
  return graph;
}

function found(graph: Graph, k: number, accept?: (row: number) => boolean): number[] {
  return graph.search(ORIGIN, k, 0, accept).map(({ row }) => row);
}

describe('a frozen graph', () => {
  it('hides what is dropped at once, and makes it tombstones piece by piece', () => {
    const graph = graphOf(6);
    graph.drop(10);
    graph.freeze();
    for (const row of [11, 12, 13]) expect(graph.drop(row)).toBe(true);
    expect(graph.drop(12)).toBe(false);
    for (const isDone of [false, true]) {
      expect({ size: graph.size, tombstones: graph.tombstones }).toEqual({
        size: 2,
        tombstones: 4,
      });
      expect(found(graph, 6)).toEqual([14, 15]);
      expect(found(graph, 1)).toEqual([14]);
      expect(found(graph, 6, (row) => row !== 14)).toEqual([15]);
      expect(() => graph.insert(99, ORIGIN)).toThrow('frozen');
      expect(graph.thaw(2)).toBe(isDone);
    }
    graph.insert(11, ORIGIN);
    expect(found(graph, 2)).toEqual([11, 14]);
    expect(graph.tombstones).toBe(4);
  });

  it('tells which labels its file has as live, and which of them are no more', () => {
    const graph = graphOf(5);
    graph.drop(10);
    const labels = graph.beginSave();
    graph.drop(12);
    const all = [
      { label: 1, row: 11 },
      { label: 2, row: undefined },
      { label: 3, row: 13 },
      { label: 4, row: 14 },
    ];
    expect(labels.page(0, 9)).toEqual(all);
    expect(labels.page(0, 2)).toEqual(all.slice(0, 2));
    expect(labels.page(3, 2)).toEqual(all.slice(2));
    expect(labels.page(5, 2)).toEqual([]);
    // Thawed it goes on: rows come, also one that was in the file, and others go.
    expect(graph.thaw(9)).toBe(true);
    graph.insert(12, ORIGIN);
    graph.drop(13);
    graph.insert(13, ORIGIN);
    graph.insert(20, ORIGIN);
    graph.drop(20);
    expect(labels.page(0, 9)).toEqual(
      all.map(({ label, row }) => ({ label, row: row === 13 ? undefined : row })),
    );
    graph.endSave();
    expect(graph.drop(11)).toBe(true);
  });

  it('takes over the rows of a file, but those rejected, or dropped meanwhile', async () => {
    const disk = new MemoryDisk();
    const source = graphOf(5);
    source.beginSave();
    const saved = await (await source.write(disk, 'graph')).seal();
    const graph = new Graph(new FlatIndex(OPTIONS));
    graph.freeze();
    for (const label of [0, 1, 2, 4]) graph.adopt(label, 20 + label);
    expect(() => graph.adopt(3, 20)).toThrow('row 20 is in the graph');
    graph.reject(3);
    graph.drop(21);
    const loading = graph.load(disk, 'graph', saved);
    graph.drop(22);
    await loading;
    while (!graph.thaw(1)) expect(graph.size).toBe(2);
    expect(found(graph, 9)).toEqual([20, 24]);
    graph.insert(22, Float32Array.of(-1, 0));
    expect(found(graph, 9)).toEqual([20, 22, 24]);
    expect({ points: graph.points, tombstones: graph.tombstones }).toEqual({
      points: 6,
      tombstones: 3,
    });
  });

  it('may be disposed of while it is saved, or loaded', async () => {
    const disk = new MemoryDisk();
    const graph = graphOf(3);
    graph.beginSave();
    const writing = graph.write(disk, 'graph');
    graph.dispose();
    const written = await writing;
    expect(graph.thaw(1)).toBe(true);
    const saved = await written.seal();
    const other = new Graph(new FlatIndex(OPTIONS));
    other.freeze();
    for (const label of [0, 1, 2]) other.reject(label);
    const loading = other.load(disk, 'graph', saved);
    other.dispose();
    await loading;
    expect(other.thaw(1)).toBe(true);
  });
});
