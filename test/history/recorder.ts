/** Records what clients do: calls `run`, notes start, end and outcome. */
import type { Outcome } from './operation.js';

export interface RecorderOptions {
  /** One clock for all clients of a history. */
  readonly now: () => number;
  /** Whether what was asked for has certainly not happened when it ended in this error. */
  readonly isRefusal: (error: unknown) => boolean;
}

/** When a call was made and what became of it. */
export interface Span {
  readonly client: string;
  readonly start: number;
  readonly end: number;
  readonly outcome: Outcome;
  /** What it ended in; absent where the outcome is ok. */
  readonly error?: unknown;
}

export class Recorder<O extends Span> {
  readonly #options: RecorderOptions;
  readonly #history: O[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** In the order of the ends. Not a copy. */
  get history(): readonly O[] {
    return this.#history;
  }

  /** Never rejects. `operationOf` gets the result where the outcome is ok. */
  async record<T>(
    client: string,
    run: () => Promise<T>,
    operationOf: (span: Span, result: T | undefined) => O,
  ): Promise<O> {
    const { now, isRefusal } = this.#options;
    const start = now();
    const settle = async (): Promise<[Span, T | undefined]> => {
      try {
        const result = await run();
        return [{ client, start, end: now(), outcome: 'ok' }, result];
      } catch (error) {
        const outcome = isRefusal(error) ? 'fail' : 'unknown';
        return [{ client, start, end: now(), outcome, error }, undefined];
      }
    };
    const operation = operationOf(...(await settle()));
    this.#history.push(operation);
    return operation;
  }
}
