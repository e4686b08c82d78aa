/**
 * Goal: the way between a simulated client and a node. Method: calls and answers take time, answers
 * get lost, a dead node resets its connections, and whoever does not answer is given up on.
 */
import { setMaxListeners } from 'node:events';
import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import type { CallOptions } from '../../../src/server/backend.js';
import type { Random, Scheduler } from '../../../src/shared/environment.js';
import { FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import type { Findings } from './findings.js';

/** What a client sees of one run of a node's process. */
export interface Callee {
  readonly nodeId: number;
  /** The node's own: what is set on it waits while the node is paused, and dies with it. */
  readonly scheduler: Scheduler;
  /** Refuses with NODE_NOT_READY while the node does not listen. */
  endpoints(): EndpointsOptions;
  /** Calls `task` when the process is gone; the returned function forgets it. */
  onGone(task: () => void): () => void;
}

export interface ClientWireOptions {
  /** The clients' own time. */
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly findings: Findings;
  readonly delayMaxMs: number;
  /** Share of the answers that never come. */
  readonly answerLoss: number;
}

/** What a call does at the node that it reaches. */
export type Work<T> = (endpoints: EndpointsOptions, options: CallOptions) => Promise<T>;

/** A node gets this long after the deadline to settle a call, whatever happens around it. */
const GRACE_MS = 3_000;

export class ClientWire {
  readonly #options: ClientWireOptions;
  /** Whether answers get lost and calls are slow. */
  isFaulty = true;
  /** Calls whose caller still waits. */
  open = 0;

  constructor(options: ClientWireOptions) {
    this.#options = options;
  }

  /**
   * Settles within `timeoutMs` of the client's time. An error of the way itself has an unknown
   * outcome, except where the node did not listen.
   */
  call<T>(callee: Callee, timeoutMs: number, work: Work<T>): Promise<T> {
    const { scheduler, random } = this.#options;
    const lost = this.isFaulty && random.next() < this.#options.answerLoss;
    const requestMs = this.#delayMs();
    const answerMs = this.#delayMs();
    this.open++;
    return new Promise<T>((resolve, reject) => {
      let isOpen = true;
      const finish = (act: () => void): void => {
        if (!isOpen) return;
        isOpen = false;
        this.open--;
        timer.cancel();
        forget();
        act();
      };
      const timer = scheduler.after(timeoutMs, () =>
        finish(() => reject(new FlotillaError('DEADLINE_EXCEEDED', 'no answer came'))),
      );
      const forget = callee.onGone(() =>
        finish(() => reject(new FlotillaError('OUTCOME_UNKNOWN', 'the connection was reset'))),
      );
      const answer = (act: () => void): void => {
        if (!lost) scheduler.after(answerMs, () => finish(act));
      };
      callee.scheduler.after(requestMs, () => {
        this.#serve(callee, timeoutMs, work).then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(toFlotillaError(error))),
        );
      });
    });
  }

  /** The node's side, as its server does it: the signal says when the deadline has passed. */
  async #serve<T>(callee: Callee, timeoutMs: number, work: Work<T>): Promise<T> {
    const { scheduler, nodeId } = callee;
    const report = (): void =>
      this.#options.findings.report(
        'calls settle',
        `node ${nodeId} holds a call ${GRACE_MS} ms longer than its deadline`,
      );
    // In two steps: after a pause, everything that fell due meanwhile comes at once.
    let watch = scheduler.after(timeoutMs + GRACE_MS / 2, () => {
      watch = scheduler.after(GRACE_MS / 2, report);
    });
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const deadline = scheduler.after(timeoutMs, () => controller.abort());
    try {
      return await work(callee.endpoints(), { timeoutMs, signal: controller.signal });
    } finally {
      deadline.cancel();
      watch.cancel();
    }
  }

  #delayMs(): number {
    return this.isFaulty ? this.#options.random.next() * this.#options.delayMaxMs : 0.1;
  }
}
