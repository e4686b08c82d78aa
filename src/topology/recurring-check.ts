/** When those who drive changes of the topology look for work. */
import type { Scheduler } from '../shared/environment.js';
import type { TopologyView } from './view.js';

export interface RecurringCheckOptions {
  readonly view: TopologyView;
  readonly scheduler: Scheduler;
  /** A new leader learns of its task at the latest after this time. */
  readonly periodMs: number;
}

/** Calls `check` at each change of the document, and now and then. Returns what ends it. */
export function checkAgainAndAgain(
  { view, scheduler, periodMs }: RecurringCheckOptions,
  check: () => void,
): () => void {
  const stopWatching = view.onChange(check);
  const timer = scheduler.every(periodMs, check);
  return () => {
    stopWatching();
    timer.cancel();
  };
}
