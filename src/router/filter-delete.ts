/**
 * Deleting what matches a filter: page by page the matching records are read, and deleted as they
 * were read. Bounded in time and work; whoever asked goes on from where it ended.
 */
import { noteSeen, type SeenShard } from '../shared/consistency.js';
import { isConditionReason } from '../shared/error-codes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { WriteOutcome } from '../shared/types.js';
import type {
  DeleteByFilterAnswer,
  FetchedRecord,
  ScrollAnswer,
  ScrollRequestQuery,
  WriteAnswer,
} from './requests.js';
import type { TimeBudget } from './time-budget.js';

/** No page is begun later, so that the answer leaves before the deadline. */
const WORK_SHARE = 0.5;
/** Before every record: no id is empty. */
const START: ScrollPosition = { id: '', tenant: '' };

type Removal = Pick<WriteAnswer, 'outcomes' | 'written'>;

export interface FilterDeleteOptions {
  readonly budget: TimeBudget;
  readonly scroll: (query: ScrollRequestQuery) => Promise<ScrollAnswer>;
  /** Deletes records; rejects where none was, else resolves with an outcome for each, in order. */
  readonly remove: (collectionId: number, records: readonly FetchedRecord[]) => Promise<Removal>;
}

export interface DeleteSelection {
  /** An encoded filter on the collection. */
  readonly filter: Uint8Array;
  /** @default from the first record on */
  readonly after?: ScrollPosition | undefined;
}

/**
 * Deletes records until the end, for half of the budget, or until `LIMITS.deleteIdsMax` are gone;
 * one page at least. An error is thrown where nothing was deleted before it, else the answer is to
 * go on from the page that met it. A record that was written since its page was read is left alone:
 * it counts as written after the delete.
 */
export async function deleteByFilter(
  options: FilterDeleteOptions,
  { filter, after: start }: DeleteSelection,
): Promise<DeleteByFilterAnswer> {
  const workBudget = options.budget.firstPart(WORK_SHARE);
  const pageOf = {
    limit: LIMITS.scrollLimitMax.value,
    includeValues: false,
    includeMetadata: false,
  };
  let after = start;
  let deletedCount = 0;
  const seen = new Map<number, SeenShard>();
  const written = (): SeenShard[] => [...seen.values()];
  try {
    do {
      const page = await options.scroll({ filter, after, ...pageOf });
      // What was read here may be what a lost attempt of this call has deleted.
      noteSeen(seen, page.served);
      const { outcomes, written: removed } = await removePage(options, page);
      noteSeen(seen, removed);
      deletedCount += outcomes.filter((one) => one.kind === 'applied' && one.existed).length;
      throwFailure(outcomes);
      after = page.next;
    } while (
      after !== undefined &&
      !workBudget.isSpent &&
      deletedCount < LIMITS.deleteIdsMax.value
    );
  } catch (error) {
    if (deletedCount === 0) throw error;
    return { deletedCount, written: written(), next: after ?? START };
  }
  return { deletedCount, written: written(), ...(after !== undefined && { next: after }) };
}

const NOTHING: Removal = { outcomes: [], written: [] };

/** No outcomes where every record of the page was written since. */
async function removePage(
  { remove }: FilterDeleteOptions,
  { collectionId, records }: ScrollAnswer,
): Promise<Removal> {
  if (records.length === 0) return NOTHING;
  try {
    return await remove(collectionId, records);
  } catch (thrown) {
    const error = toFlotillaError(thrown);
    if (isConditionReason(error.reason)) return NOTHING;
    throw error;
  }
}

/** That a record has another version than the one that was to be deleted is none. */
function throwFailure(outcomes: readonly WriteOutcome[]): void {
  for (const outcome of outcomes) {
    if (outcome.kind === 'applied' || isConditionReason(outcome.error.reason)) continue;
    throw FlotillaError.fromBody(outcome.error);
  }
}
