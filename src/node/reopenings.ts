/**
 * When what has failed is tried again, group by group: after a pause that doubles with each try, up
 * to half a minute, and is drawn anew, so that what failed together does not come back together.
 * What has gone well for longer than the longest pause begins with the shortest again.
 */
import type { Environment, Timer } from '../shared/environment.js';

const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;

interface Course {
  tries: number;
  timer: Timer | undefined;
  /** When the last try went well; undefined while it has not. */
  wellSinceMs: number | undefined;
}

export class Reopenings {
  readonly #environment: Pick<Environment, 'clock' | 'scheduler' | 'random'>;
  readonly #courses = new Map<number, Course>();
  #closed = false;

  constructor(environment: Pick<Environment, 'clock' | 'scheduler' | 'random'>) {
    this.#environment = environment;
  }

  /** Runs `task` after the pause that is due. Returns which try it is and when, for people. */
  plan(groupId: number, task: () => void): string {
    const { clock, scheduler, random } = this.#environment;
    const course = this.#courseOf(groupId);
    const { wellSinceMs } = course;
    const hasGoneWell =
      wellSinceMs !== undefined && clock.monotonicMs() - wellSinceMs > PAUSE_MAX_MS;
    if (hasGoneWell) course.tries = 0;
    course.wellSinceMs = undefined;
    course.tries += 1;
    const longestMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** (course.tries - 1));
    const pauseMs = Math.round(longestMs * (0.5 + random.next() / 2));
    course.timer?.cancel();
    if (!this.#closed) course.timer = scheduler.after(pauseMs, task);
    return `try ${course.tries} comes at ${new Date(clock.wallMs() + pauseMs).toISOString()}`;
  }

  /** A try went well. */
  succeeded(groupId: number): void {
    const course = this.#courses.get(groupId);
    if (course !== undefined) course.wellSinceMs = this.#environment.clock.monotonicMs();
  }

  /** What was planned is not to be done any more. */
  forget(groupId: number): void {
    this.#courses.get(groupId)?.timer?.cancel();
    this.#courses.delete(groupId);
  }

  /** Nothing is run from here on. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#courses.values()) timer?.cancel();
  }

  #courseOf(groupId: number): Course {
    const known = this.#courses.get(groupId);
    if (known !== undefined) return known;
    const course: Course = { tries: 0, timer: undefined, wellSinceMs: undefined };
    this.#courses.set(groupId, course);
    return course;
  }
}
