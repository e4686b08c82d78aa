/** Whether lists kept what was appended, in the order in which it was appended. */
import { type AppendOperation, byKey, type Fault, type Value } from './operation.js';
import {
  knownSince,
  readFault,
  repeatedValues,
  requireFinalRead,
  type WholeRead,
} from './whole-reads.js';

type Append = Extract<AppendOperation, { op: 'append' }>;
type Appends = ReadonlyMap<Value, Append>;

/**
 * Every read of a list holds each value that was acknowledged, or found by another read, before it
 * started, once, and nothing that was never sent; a value whose append had ended before another's
 * started stands before it; and of two reads one is the beginning of the other. Each key needs a
 * read that starts after all appends ended, or an error is thrown. Cost: reads x values.
 */
export function checkAppend(history: readonly AppendOperation[]): Fault[] {
  return [...byKey(history)].flatMap(([key, operations]) => {
    const appends = new Map<Value, Append>();
    for (const one of operations) {
      if (one.op !== 'append') continue;
      if (appends.has(one.value)) throw new Error(`${one.value} was appended twice to ${key}`);
      appends.set(one.value, one);
    }
    const reads = operations.filter((one) => one.op === 'read-all' && one.outcome === 'ok');
    const wholeReads = reads as WholeRead[];
    requireFinalRead(key, [...appends.values()], wholeReads);
    const since = knownSince(appends.values(), wholeReads);
    return [
      ...wholeReads.flatMap((read) => [
        ...repeatedValues(read),
        ...foreignValues(read, appends),
        ...lostValues(read, since),
        ...orderFaults(read, appends),
      ]),
      ...forks(wholeReads),
    ];
  });
}

function foreignValues(read: WholeRead, appends: Appends): Fault[] {
  return [...new Set(read.values)].flatMap((value) => {
    const append = appends.get(value);
    const isPhantom = append === undefined || append.outcome === 'fail' || append.start > read.end;
    return isPhantom ? [readFault(read, 'phantom', `${value} is there and was not appended`)] : [];
  });
}

function lostValues(read: WholeRead, since: ReadonlyMap<Value, number>): Fault[] {
  const there = new Set(read.values);
  return [...since]
    .filter(([value, time]) => time < read.start && !there.has(value))
    .map(([value, time]) => readFault(read, 'lost', `${value} was there and is gone`, time));
}

/** From the back: no value may have started after a later one had already ended. */
function orderFaults(read: WholeRead, appends: Appends): Fault[] {
  const faults: Fault[] = [];
  let earliest: Append | undefined;
  for (const value of read.values.toReversed()) {
    const append = appends.get(value);
    if (append === undefined) continue;
    if (earliest !== undefined && earliest.end < append.start) {
      const message = `${value} stands before ${earliest.value}, which had ended when it started`;
      faults.push(readFault(read, 'order', message));
    }
    const hasEnded = append.outcome === 'ok' && append.end < (earliest?.end ?? Infinity);
    if (hasEnded) earliest = append;
  }
  return faults;
}

function forks(reads: readonly WholeRead[]): Fault[] {
  const byLength = reads.toSorted((a, b) => a.values.length - b.values.length);
  return byLength.flatMap((read, at) => {
    const longer = byLength[at + 1];
    const isBeginning = read.values.every((value, place) => longer?.values[place] === value);
    if (longer === undefined || isBeginning) return [];
    return [readFault(read, 'order', `the list is no beginning of what ${longer.client} read`)];
  });
}
