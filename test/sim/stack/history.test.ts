// Goal: conditions, sweeps and expiries count in the check for linearizability as what they are.
// Method: tiny histories by hand, told as clients tell them, before the real checker.
import { describe, expect, it } from 'vitest';
import { checkRegister } from '../../history/register.js';
import { StackHistory } from './history.js';
import type { Demand, Met, Write, WriteEnd, WriteKind } from './register-oracle.js';

const KEY = 'key';

function harness() {
  const history = new StackHistory();
  let lastSerial = 0;
  const wrote = (
    kind: WriteKind,
    outcome: WriteEnd,
    demand?: Demand,
    metSerial?: number,
  ): number => {
    const write: Write = {
      serial: ++lastSerial,
      key: KEY,
      kind,
      demand,
      floor: undefined,
      end: outcome,
      seenVersion: undefined,
      seenBase: undefined,
    };
    history.logged(write.serial);
    const start = history.now();
    history.wrote({ client: 'client-1', start, write, outcome, existed: undefined, metSerial });
    return write.serial;
  };
  const read = (serial: number | undefined): void => {
    history.read({ client: 'client-2', start: history.now(), key: KEY, serial });
  };
  return { history, wrote, read, isSound: () => checkRegister(history.operations).length === 0 };
}

const APPLIED = { kind: 'applied', version: 1n } as const;

function version(serial: number): Demand {
  return { kind: 'version', version: BigInt(serial), serial };
}

function missed(met: Met): WriteEnd {
  return { kind: 'not-applied', met };
}

describe('the history of a run', () => {
  it('takes a condition that held for a compare-and-set', () => {
    const { wrote, read, isSound } = harness();
    const first = wrote('upsert', APPLIED, { kind: 'absent' });
    const second = wrote('upsert', APPLIED, version(first));
    read(second);
    wrote('delete', APPLIED, version(second));
    read(undefined);
    expect(isSound()).toBe(true);
  });

  it('finds two that swapped the same version (W1)', () => {
    const { wrote, isSound } = harness();
    const first = wrote('upsert', APPLIED);
    wrote('upsert', APPLIED, version(first));
    wrote('patch', APPLIED, version(first));
    expect(isSound()).toBe(false);
  });

  it('lets a swap of unknown outcome have happened or not', () => {
    for (const isDone of [true, false]) {
      const { wrote, read, isSound } = harness();
      const first = wrote('upsert', APPLIED);
      const doubtful = wrote('upsert', { kind: 'unknown' }, version(first));
      read(isDone ? doubtful : first);
      expect(isSound()).toBe(true);
    }
  });

  it('finds a swap of unknown outcome on a version that was gone', () => {
    const { wrote, read, isSound } = harness();
    const first = wrote('upsert', APPLIED);
    wrote('upsert', APPLIED);
    read(wrote('upsert', { kind: 'unknown' }, version(first)));
    expect(isSound()).toBe(false);
  });

  it('takes a condition that did not hold for a read of what it met', () => {
    const good = harness();
    const first = good.wrote('upsert', APPLIED);
    good.wrote('upsert', missed({ kind: 'record', version: 1n }), { kind: 'absent' }, first);
    expect(good.isSound()).toBe(true);

    const bad = harness();
    bad.wrote('upsert', APPLIED);
    bad.wrote('patch', missed({ kind: 'nothing' }));
    expect(bad.isSound()).toBe(false);
  });

  it('lets what the log removes be gone, once, and finds it come back (W3)', () => {
    const { history, wrote, read, isSound } = harness();
    const first = wrote('upsert', APPLIED);
    read(first);
    history.removed(KEY, first);
    read(undefined);
    expect(isSound()).toBe(true);
    read(first);
    expect(isSound()).toBe(false);
  });
});
