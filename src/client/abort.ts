/** Waiting for the abort of a signal that many calls share. */

interface Waiting {
  readonly tasks: Set<() => void>;
  readonly listener: () => void;
}

/** One listener for each signal, however many calls wait: Node.js takes more for a leak. */
const waitingFor = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls `task` once, when the signal is aborted; never where it is aborted already. Returns what
 * ends the wait. Each wait needs a `task` of its own.
 */
export function onAbort(signal: AbortSignal | undefined, task: () => void): () => void {
  if (signal === undefined || signal.aborted) return () => undefined;
  const waiting = waitingFor.get(signal) ?? listenTo(signal);
  waiting.tasks.add(task);
  return () => {
    waiting.tasks.delete(task);
    if (waiting.tasks.size > 0 || waitingFor.get(signal) !== waiting) return;
    // A signal that is listened to is never collected.
    signal.removeEventListener('abort', waiting.listener);
    waitingFor.delete(signal);
  };
}

function listenTo(signal: AbortSignal): Waiting {
  const tasks = new Set<() => void>();
  const listener = (): void => {
    waitingFor.delete(signal);
    for (const task of [...tasks]) if (tasks.delete(task)) task();
  };
  signal.addEventListener('abort', listener, { once: true });
  const waiting = { tasks, listener };
  waitingFor.set(signal, waiting);
  return waiting;
}
