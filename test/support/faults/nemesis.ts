/** Causes one fault after another, drawn from a seed, and keeps a log of them. */
import { type FaultKind, type FaultScene, shuffle } from './fault-scene.js';

/** One fault with its times, in the milliseconds of `performance.now()`. */
export interface FaultRecord {
  readonly kind: string;
  readonly detail: string;
  readonly beginMs: number;
  /** When the cure began. */
  readonly cureMs: number;
  /** When every replica took part again and was level. */
  readonly levelMs: number;
}

export interface NemesisOptions {
  readonly scene: FaultScene;
  readonly kinds: readonly FaultKind[];
  /** How long a fault lasts, drawn between the two. */
  readonly holdMs: readonly [min: number, max: number];
  /** Resolves when the clients have worked undisturbed for a while. */
  readonly rest: () => Promise<void>;
  readonly onRecord?: (record: FaultRecord) => void;
}

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly records: FaultRecord[] = [];

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /**
   * Goes through all kinds that are possible here in a random order, again and again, until
   * `isOver` says so between two faults; at least once through. Throws where a fault cannot be
   * caused or cured.
   */
  async run(isOver: () => boolean): Promise<void> {
    const { scene, kinds, rest } = this.#options;
    const possible = kinds.filter((kind) => kind.isPossible(scene.cluster));
    for (let round = 0; round === 0 || !isOver(); round++) {
      for (const kind of shuffle(scene, possible)) {
        if (round > 0 && isOver()) return;
        await rest();
        await this.#cause(kind);
      }
    }
  }

  async #cause(kind: FaultKind): Promise<void> {
    const { scene, holdMs, onRecord } = this.#options;
    const [minMs, maxMs] = holdMs;
    const lastsMs = minMs + scene.random() * (maxMs - minMs);
    const beginMs = performance.now();
    const fault = await kind.begin(scene);
    await new Promise((resolve) => setTimeout(resolve, lastsMs));
    const cureMs = performance.now();
    await fault.cure();
    await scene.view.level();
    const record = {
      kind: kind.name,
      detail: fault.detail,
      beginMs,
      cureMs,
      levelMs: performance.now(),
    };
    this.records.push(record);
    onRecord?.(record);
  }
}
