/**
 * How many data bytes a group's log holds: sums over segments of consecutive entries, so that a
 * part can be taken off either end. Memory is O(log / 256).
 */
import type { Entry } from '../raft/types.js';

const SEGMENT_ENTRIES_MAX = 256;

interface Segment {
  readonly firstIndex: number;
  count: number;
  sizeBytes: number;
}

export class LogSizes {
  #segments: Segment[] = [];
  #totalBytes = 0;

  /** Exact as long as whole segments go; entries inside one count as its average. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Adds consecutive entries; those at and after the first one's index go. */
  put(entries: readonly Pick<Entry, 'index' | 'data'>[]): void {
    const first = entries[0];
    if (first === undefined) return;
    this.#dropFrom(first.index);
    for (const { index, data } of entries) {
      const last = this.#segments.at(-1);
      if (last && last.count < SEGMENT_ENTRIES_MAX) {
        last.count += 1;
        last.sizeBytes += data.length;
      } else this.#segments.push({ firstIndex: index, count: 1, sizeBytes: data.length });
      this.#totalBytes += data.length;
    }
  }

  /** Takes off what is before `index`. */
  dropBefore(index: number): void {
    const kept = this.#segments.findIndex(({ firstIndex, count }) => firstIndex + count > index);
    const gone = this.#segments.splice(0, kept < 0 ? this.#segments.length : kept);
    for (const { sizeBytes } of gone) this.#totalBytes -= sizeBytes;
    const first = this.#segments[0];
    if (first === undefined || first.firstIndex >= index) return;
    const count = first.firstIndex + first.count - index;
    const sizeBytes = Math.round((first.sizeBytes * count) / first.count);
    this.#totalBytes -= first.sizeBytes - sizeBytes;
    this.#segments[0] = { firstIndex: index, count, sizeBytes };
  }

  #dropFrom(index: number): void {
    for (let last = this.#segments.at(-1); last; last = this.#segments.at(-1)) {
      if (last.firstIndex + last.count <= index) return;
      this.#segments.pop();
      this.#totalBytes -= last.sizeBytes;
      const count = index - last.firstIndex;
      if (count <= 0) continue;
      const sizeBytes = Math.round((last.sizeBytes * count) / last.count);
      this.#segments.push({ firstIndex: last.firstIndex, count, sizeBytes });
      this.#totalBytes += sizeBytes;
    }
  }
}
