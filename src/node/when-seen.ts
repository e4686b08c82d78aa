/** Waiting until this node's copy of the topology shows something. */
import { type Deadline, withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import type { TopologyDocument } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';

/**
 * Resolves with what `look` finds in the document of now, or in the first later one where it finds
 * something. Rejects at the deadline; `what` is said then.
 */
export function whenSeen<T>(
  { view, environment }: { readonly view: TopologyView; readonly environment: Environment },
  deadline: Deadline,
  what: string,
  look: (document: TopologyDocument) => T | undefined,
): Promise<T> {
  let stop = (): void => undefined;
  const seen = new Promise<T>((resolve) => {
    const check = (document: TopologyDocument): void => {
      const found = look(document);
      if (found !== undefined) resolve(found);
    };
    stop = view.onChange(check);
    const now = view.current();
    if (now !== undefined) check(now);
  });
  return withDeadline(environment.scheduler, seen, deadline, what).finally(() => stop());
}
