/**
 * Whether histories of registers are linearizable: the search of Wing and Gong with Lowe's memory
 * of what was tried, as Porcupine does it. Each key is a register of its own.
 */
import { byKey, type Fault, type RegisterOperation, type Value } from './operation.js';

export interface RegisterCheckOptions {
  /** Distinct situations that the search of one key may meet before it gives up. @default 1e6 */
  readonly statesMax?: number;
}

/** What the register holds; undefined: nothing. */
type State = Value | undefined;

const REFUSED = Symbol('refused');
const NOTHING_TO_UNLOCK = Symbol('nothing to unlock');

/**
 * The keys whose operations have no order that respects both the clock and a single copy; empty
 * when all have one. Registers hold nothing at first.
 *
 * Cost: about (operations x operations open at one time) where an order exists; it can grow
 * exponentially with the operations that are open at one time where none does. Throws when
 * `statesMax` is not enough to decide.
 */
export function checkRegister(
  history: readonly RegisterOperation[],
  { statesMax = 1_000_000 }: RegisterCheckOptions = {},
): Fault[] {
  return [...byKey(history)].flatMap(([key, operations]) => {
    const contradiction = new RegisterSearch(operations, statesMax).run();
    if (contradiction === undefined) return [];
    return [{ key, kind: 'not-linearizable' as const, ...contradiction }];
  });
}

/** What the register holds after the operation; REFUSED where it cannot have been answered so. */
function step(operation: RegisterOperation, state: State): State | typeof REFUSED {
  switch (operation.op) {
    case 'read':
      return operation.value === state ? state : REFUSED;
    case 'write':
      return isDenied(operation.existed, state) ? REFUSED : operation.value;
    case 'delete':
      return isDenied(operation.existed, state) ? REFUSED : undefined;
    case 'cas': {
      const matches = operation.expected === state;
      // One of unknown outcome that does not match changes nothing: the same as none at all.
      const swaps = operation.outcome === 'unknown' || operation.swapped;
      if (matches !== swaps) return REFUSED;
      return matches ? operation.value : state;
    }
  }
}

function isDenied(existed: boolean | undefined, state: State): boolean {
  return existed !== undefined && existed !== (state !== undefined);
}

/** Why there is no order, and when the operations were under way that none can place. */
type Contradiction = Pick<Fault, 'message' | 'from' | 'until'>;

/** A situation: what was put in order so far, and which operation may come next. */
interface Frame {
  readonly state: State;
  /**
   * After an operation of unknown outcome: what the register held before it. Only what could not
   * have come without it may follow: otherwise it can be left out, or come later, and the search
   * need not try that as well.
   */
  readonly unlockedFrom: State | typeof NOTHING_TO_UNLOCK;
  /** The operation that led here; -1 at the start. */
  readonly taken: number;
  readonly choices: readonly number[];
  at: number;
}

class RegisterSearch {
  /** First those that have ended, by start; then the unknown ones, by start. */
  readonly #operations: readonly RegisterOperation[];
  readonly #knownCount: number;
  /**
   * A doubly linked list of starts (2 x operation) and ends (2 x operation + 1) by time, without
   * those that were put in order; it begins and ends with the sentinel.
   */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #sentinel: number;
  readonly #usedUnknown = new Set<number>();
  readonly #seen = new Set<string>();
  readonly #statesMax: number;
  #deepest: { count: number; state: State; choices: readonly number[] } | undefined;

  constructor(history: readonly RegisterOperation[], statesMax: number) {
    this.#statesMax = statesMax;
    const byStart = history.toSorted((a, b) => a.start - b.start);
    const known = byStart.filter(({ outcome }) => outcome === 'ok');
    const unknown = byStart.filter(({ outcome, op }) => outcome === 'unknown' && op !== 'read');
    this.#operations = [...known, ...unknown];
    this.#knownCount = known.length;
    this.#sentinel = 2 * known.length;
    this.#next = new Int32Array(this.#sentinel + 1);
    this.#previous = new Int32Array(this.#sentinel + 1);
    this.#linkByTime();
  }

  /** Why there is no order; undefined when there is one. */
  run(): Contradiction | undefined {
    const frames: Frame[] = [this.#frame(undefined, NOTHING_TO_UNLOCK, -1)];
    let orderedCount = 0;
    while (orderedCount < this.#knownCount) {
      const frame = frames.at(-1);
      if (frame === undefined) return this.#explanation();
      const choice = frame.choices[frame.at++];
      if (choice === undefined) {
        frames.pop();
        if (frame.taken >= 0) this.#putBack(frame.taken);
        if (this.#isKnown(frame.taken)) orderedCount--;
        continue;
      }
      const following = this.#follow(frame, choice);
      if (following === undefined) continue;
      frames.push(following);
      if (this.#isKnown(choice)) orderedCount++;
      this.#noteDepth(orderedCount, following);
    }
    return undefined;
  }

  /** The situation after the choice; undefined where it cannot come now, or was tried before. */
  #follow(frame: Frame, choice: number): Frame | undefined {
    const operation = this.#operation(choice);
    const state = step(operation, frame.state);
    if (state === REFUSED) return undefined;
    const { unlockedFrom } = frame;
    const isNeedless =
      unlockedFrom !== NOTHING_TO_UNLOCK && step(operation, unlockedFrom) !== REFUSED;
    if (isNeedless) return undefined;
    this.#take(choice);
    const following = this.#frame(
      state,
      this.#isKnown(choice) ? NOTHING_TO_UNLOCK : frame.state,
      choice,
    );
    const name = this.#nameOf(following);
    if (this.#seen.has(name)) {
      this.#putBack(choice);
      return undefined;
    }
    this.#seen.add(name);
    if (this.#seen.size > this.#statesMax) {
      const { key } = operation;
      throw new Error(`the history of ${key} is not decided after ${this.#statesMax} situations`);
    }
    return following;
  }

  #frame(state: State, unlockedFrom: Frame['unlockedFrom'], taken: number): Frame {
    return { state, unlockedFrom, taken, choices: this.#choices(), at: 0 };
  }

  /** All that started before the first end among what is left: any of them may come next. */
  #choices(): number[] {
    const choices: number[] = [];
    let entry = this.#after(this.#sentinel);
    while (entry % 2 === 0 && entry !== this.#sentinel) {
      choices.push(entry / 2);
      entry = this.#after(entry);
    }
    const firstEnd =
      entry === this.#sentinel ? Infinity : this.#operation(Math.floor(entry / 2)).end;
    for (let at = this.#knownCount; at < this.#operations.length; at++) {
      if (this.#operation(at).start > firstEnd) break;
      if (!this.#usedUnknown.has(at)) choices.push(at);
    }
    return choices;
  }

  /** The choices tell what is left of the known: all that is no choice has not started yet. */
  #nameOf({ state, unlockedFrom, choices }: Frame): string {
    const left = choices.filter((choice) => this.#isKnown(choice)).join();
    const used = [...this.#usedUnknown].sort((a, b) => a - b).join();
    const before =
      unlockedFrom === NOTHING_TO_UNLOCK ? '' : `${typeof unlockedFrom}:${unlockedFrom}`;
    return `${left}|${used}|${before}|${typeof state}:${state}`;
  }

  #linkByTime(): void {
    const entries = Array.from({ length: this.#sentinel }, (_, entry) => {
      const operation = this.#operation(Math.floor(entry / 2));
      return { entry, time: entry % 2 === 0 ? operation.start : operation.end };
    });
    // At the same time starts come first: what touches may be either way around.
    entries.sort((a, b) => a.time - b.time || (a.entry % 2) - (b.entry % 2));
    let last = this.#sentinel;
    for (const { entry } of entries) {
      this.#link(last, entry);
      last = entry;
    }
    this.#link(last, this.#sentinel);
  }

  #link(before: number, after: number): void {
    this.#next[before] = after;
    this.#previous[after] = before;
  }

  #take(choice: number): void {
    if (!this.#isKnown(choice)) {
      this.#usedUnknown.add(choice);
      return;
    }
    for (const entry of [2 * choice, 2 * choice + 1]) {
      this.#link(this.#before(entry), this.#after(entry));
    }
  }

  /** In the reverse order of the takings: each entry still knows its neighbours of then. */
  #putBack(choice: number): void {
    if (!this.#isKnown(choice)) {
      this.#usedUnknown.delete(choice);
      return;
    }
    for (const entry of [2 * choice + 1, 2 * choice]) {
      this.#next[this.#before(entry)] = entry;
      this.#previous[this.#after(entry)] = entry;
    }
  }

  #noteDepth(count: number, { state, choices }: Frame): void {
    if (count > (this.#deepest?.count ?? -1)) this.#deepest = { count, state, choices };
  }

  #explanation(): Contradiction {
    const { count = 0, state, choices = this.#choices() } = this.#deepest ?? {};
    const open = choices.map((choice) => this.#operation(choice));
    const message =
      `${count} of ${this.#knownCount} operations have an order that leaves ${quote(state)}; ` +
      `none of these can follow: ${open.map(describe).join('; ')}`;
    const from = Math.min(...open.map(({ start }) => start));
    return { message, from, until: Math.max(...open.map(({ end }) => end)) };
  }

  #isKnown(choice: number): boolean {
    return choice >= 0 && choice < this.#knownCount;
  }

  #operation(at: number): RegisterOperation {
    const operation = this.#operations[at];
    if (operation === undefined) throw new RangeError(`no operation ${at}`);
    return operation;
  }

  #after(entry: number): number {
    return this.#next[entry] ?? this.#sentinel;
  }

  #before(entry: number): number {
    return this.#previous[entry] ?? this.#sentinel;
  }
}

function describe(operation: RegisterOperation): string {
  const { client, op, start, end, outcome } = operation;
  const found = 'existed' in operation ? ` (existed: ${operation.existed})` : '';
  const what =
    op === 'delete'
      ? 'delete'
      : op === 'cas'
        ? `cas ${quote(operation.expected)} -> ${quote(operation.value)} (${operation.swapped})`
        : `${op} ${quote(operation.value)}`;
  return `${client} ${what}${found} [${start}, ${outcome === 'unknown' ? '?' : end}]`;
}

function quote(value: State): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
