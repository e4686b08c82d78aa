/** Goal: say what went wrong first. Method: everyone who looks reports here; the run stops. */

export interface Finding {
  /** Which promise is broken, in a word or two; stable, so that runs can be compared by it. */
  readonly invariant: string;
  readonly message: string;
  readonly atMs: number;
}

export class Findings {
  readonly #nowMs: () => number;
  #first: Finding | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get first(): Finding | undefined {
    return this.#first;
  }

  /** Only the first counts: what follows from a broken promise proves nothing. */
  report(invariant: string, message: string): void {
    this.#first ??= { invariant, message, atMs: this.#nowMs() };
  }
}
