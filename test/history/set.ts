/** Whether sets kept what was added, and only that. */
import { byKey, type Fault, type SetOperation, type Value } from './operation.js';
import {
  knownSince,
  readFault,
  repeatedValues,
  requireFinalRead,
  type WholeRead,
} from './whole-reads.js';

type Change = Extract<SetOperation, { op: 'add' | 'remove' }>;
type Changes = ReadonlyMap<Value, Change>;

/**
 * Judges every read of a whole set by what had certainly happened when it started and what cannot
 * have happened when it ended: acknowledged values, and those that an earlier read found, are
 * there, once; removed ones are not; nothing comes from nowhere. Each key needs a read that starts
 * after all of its changes ended, or an error is thrown. Cost: reads x values.
 */
export function checkSet(history: readonly SetOperation[]): Fault[] {
  return [...byKey(history)].flatMap(([key, operations]) => {
    const changes = operations.filter((one): one is Change => one.op !== 'read-all');
    const reads = operations.filter((one) => one.op === 'read-all' && one.outcome === 'ok');
    const wholeReads = reads as WholeRead[];
    requireFinalRead(key, changes, wholeReads);
    const adds = changesByValue(changes, 'add');
    const removes = changesByValue(changes, 'remove');
    const since = knownSince(adds.values(), wholeReads);
    return wholeReads.flatMap((read) => [
      ...repeatedValues(read),
      ...extraValues(read, adds, removes),
      ...lostValues(read, since, removes),
    ]);
  });
}

function changesByValue(changes: readonly Change[], op: Change['op']): Changes {
  const found = new Map<Value, Change>();
  for (const change of changes) {
    if (change.op !== op) continue;
    if (found.has(change.value))
      throw new Error(`${op} of ${change.value} is twice in the history`);
    found.set(change.value, change);
  }
  return found;
}

function extraValues(read: WholeRead, adds: Changes, removes: Changes): Fault[] {
  return [...new Set(read.values)].flatMap((value) => {
    const add = adds.get(value);
    if (add === undefined || add.outcome === 'fail' || add.start > read.end) {
      return [readFault(read, 'phantom', `${value} is there and was not added`)];
    }
    const remove = removes.get(value);
    const isGone = remove?.outcome === 'ok' && remove.end < read.start && isBefore(add, remove);
    const message = `${value} is there after its removal`;
    return isGone ? [readFault(read, 'resurrected', message, remove.end)] : [];
  });
}

/** One of unknown outcome is before nothing. */
function isBefore(add: Change, remove: Change): boolean {
  return add.outcome === 'ok' && add.end < remove.start;
}

function lostValues(read: WholeRead, since: ReadonlyMap<Value, number>, removes: Changes): Fault[] {
  const there = new Set(read.values);
  return [...since].flatMap(([value, time]) => {
    const remove = removes.get(value);
    const mayBeGone = remove !== undefined && remove.outcome !== 'fail' && remove.start <= read.end;
    const isLost = time < read.start && !mayBeGone && !there.has(value);
    return isLost ? [readFault(read, 'lost', `${value} was there and is gone`, time)] : [];
  });
}
