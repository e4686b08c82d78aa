/** Something that happens at a point of virtual time. */
export interface SimEvent {
  readonly timeMs: number;
  /** Order of scheduling: decides between events of the same time. */
  readonly sequence: number;
  readonly task: () => void;
  isCancelled: boolean;
}

/** The events to come, the next one first: a binary heap. `push` and `pop` cost O(log n). */
export class EventHeap {
  readonly #events: SimEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  push(event: SimEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = events[parentAt] as SimEvent;
      if (!isBefore(event, parent)) break;
      events[at] = parent;
      at = parentAt;
    }
    events[at] = event;
  }

  /** The next event that was not cancelled, without taking it. */
  peek(): SimEvent | undefined {
    while (this.#events[0]?.isCancelled === true) this.#removeFirst();
    return this.#events[0];
  }

  pop(): SimEvent | undefined {
    const first = this.peek();
    if (first !== undefined) this.#removeFirst();
    return first;
  }

  #removeFirst(): void {
    const events = this.#events;
    const moved = events.pop();
    const size = events.length;
    if (moved === undefined || size === 0) return;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= size) break;
      const right = events[childAt + 1];
      if (right !== undefined && isBefore(right, events[childAt] as SimEvent)) childAt += 1;
      const child = events[childAt] as SimEvent;
      if (!isBefore(child, moved)) break;
      events[at] = child;
      at = childAt;
    }
    events[at] = moved;
  }
}

function isBefore(one: SimEvent, other: SimEvent): boolean {
  return (
    one.timeMs < other.timeMs || (one.timeMs === other.timeMs && one.sequence < other.sequence)
  );
}
