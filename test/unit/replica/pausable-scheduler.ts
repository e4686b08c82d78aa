// Goal: the event loop of one node, which can stall while the others go on.
// Method: what falls due meanwhile is kept and handed over in the event loop's order: timers, then
// sockets, then what was put behind both.
import type { Scheduler, Timer } from '../../../src/shared/environment.js';

type Task = () => void;

export class PausableScheduler implements Scheduler {
  readonly #world: Scheduler;
  #paused = false;
  /** Due timers, each once, however many periods have passed. */
  readonly #timers = new Set<Task>();
  #sockets: Task[] = [];
  #soon: Task[] = [];

  constructor(world: Scheduler) {
    this.#world = world;
  }

  after(delayMs: number, task: Task): Timer {
    return this.#guarded(task, (run) => this.#world.after(delayMs, run));
  }

  every(periodMs: number, task: Task): Timer {
    return this.#guarded(task, (run) => this.#world.every(periodMs, run));
  }

  soon(task: Task): void {
    this.#world.soon(() => (this.#paused ? void this.#soon.push(task) : task()));
  }

  /** Something has come over a socket. */
  receive(task: Task): void {
    if (this.#paused) this.#sockets.push(task);
    else task();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const phases = [[...this.#timers], this.#sockets, this.#soon];
    this.#timers.clear();
    this.#sockets = [];
    this.#soon = [];
    for (const task of phases.flat()) task();
  }

  #guarded(task: Task, start: (run: Task) => Timer): Timer {
    const timer = start(() => (this.#paused ? void this.#timers.add(task) : task()));
    return {
      cancel: () => {
        timer.cancel();
        this.#timers.delete(task);
      },
    };
  }
}
