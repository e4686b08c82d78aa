// Goal: the oracle of the full-stack simulator speaks up when it has to, and only then.
// Method: tiny histories by hand, one for each thing that can be wrong and its honest twin.
import { describe, expect, it } from 'vitest';
import { COLLECTION, keyOf } from './address.js';
import { Findings } from './findings.js';
import { groupOf } from './record-content.js';
import { type Demand, RegisterOracle, type Write, type WriteKind } from './register-oracle.js';

const KEY = 'key';

function harness() {
  const findings = new Findings(() => 0);
  const oracle = new RegisterOracle(findings, () => 0);
  const logged = (write: Write, version: bigint): void => {
    oracle.logged(KEY, version, write.kind === 'delete' ? undefined : write.serial);
  };
  const applied = (version: bigint, kind: WriteKind = 'upsert', demand?: Demand): Write => {
    const write = oracle.beginWrite(KEY, kind, demand);
    logged(write, version);
    oracle.endWrite(write, { kind: 'applied', version });
    return write;
  };
  const shown = (write: Write, version = write.seenVersion ?? 0n, base = write.serial) => {
    return { serial: write.serial, base, version };
  };
  const reads = (write: Write | undefined, version?: bigint): void => {
    oracle.endRead(KEY, oracle.beginRead(KEY), write && shown(write, version));
  };
  return { oracle, applied, logged, reads, shown, broken: () => findings.first?.invariant };
}

describe('the register oracle', () => {
  it('accepts the newest of the acknowledged writes, and one that came meanwhile', () => {
    const { oracle, applied, reads, shown, broken } = harness();
    reads(undefined);
    reads(applied(1n));
    const floor = oracle.beginRead(KEY);
    const newer = applied(2n);
    oracle.endRead(KEY, floor, shown(newer));
    expect(broken()).toBeUndefined();
  });

  it('finds a read that is older than a completed write (P-4)', () => {
    const { applied, reads, broken } = harness();
    const old = applied(1n);
    applied(2n);
    reads(old);
    expect(broken()).toBe('reads are fresh');
  });

  it('finds a read that is older than a completed read (P-4)', () => {
    const { oracle, applied, logged, reads, broken } = harness();
    const old = applied(1n);
    const open = oracle.beginWrite(KEY, 'upsert');
    logged(open, 2n);
    reads(open);
    reads(old);
    expect(broken()).toBe('reads are fresh');
  });

  it('finds a lost write (P-1), unless the log has a delete of it', () => {
    const lost = harness();
    lost.applied(1n);
    lost.reads(undefined);
    expect(lost.broken()).toBe('acknowledged writes survive');

    const deleted = harness();
    deleted.applied(1n);
    deleted.oracle.logged(KEY, 2n, undefined);
    deleted.reads(undefined);
    expect(deleted.broken()).toBeUndefined();
  });

  it('finds a record that goes by itself, without an entry that removes it (W3)', () => {
    const { oracle, applied, reads, broken } = harness();
    applied(1n);
    oracle.endWrite(oracle.beginWrite(KEY, 'delete'), { kind: 'unknown' });
    reads(undefined);
    expect(broken()).toBe('acknowledged writes survive');
  });

  it('finds a record that came back from a delete', () => {
    const { applied, reads, broken } = harness();
    const gone = applied(1n);
    applied(2n, 'delete');
    reads(gone);
    expect(broken()).toBe('reads are fresh');
  });

  it('finds a record that a sweep of its group has left, and no other', () => {
    const swept = harness();
    const left = swept.applied(1n);
    const group = groupOf(left.serial);
    swept.oracle.endSweep(group, swept.oracle.beginSweep(group));
    swept.reads(left);
    expect(swept.broken()).toBe('reads are fresh');

    const other = harness();
    const spared = other.applied(1n);
    const otherGroup = groupOf(spared.serial + 1);
    other.oracle.endSweep(otherGroup, other.oracle.beginSweep(otherGroup));
    other.reads(spared);
    expect(other.broken()).toBeUndefined();
  });

  it('finds a sweep that takes what does not match', () => {
    const { oracle, applied, broken } = harness();
    const { serial } = applied(1n);
    oracle.beginSweep(groupOf(serial));
    oracle.swept(KEY, serial);
    expect(broken()).toBeUndefined();
    oracle.swept(KEY, serial + 1);
    expect(broken()).toBe('sweeps take what matches');
  });

  it('finds what a search of a group leaves out, or has too much of (Q1)', () => {
    const missing = harness();
    const { serial } = missing.applied(1n);
    const floor = missing.oracle.beginRead(KEY);
    missing.oracle.endGroupRead(groupOf(serial + 1), KEY, floor, undefined);
    expect(missing.broken()).toBeUndefined();
    missing.oracle.endGroupRead(groupOf(serial), KEY, floor, undefined);
    expect(missing.broken()).toBe('acknowledged writes survive');

    const extra = harness();
    const found = extra.applied(1n);
    const group = groupOf(found.serial + 1);
    extra.oracle.endGroupRead(group, KEY, undefined, extra.shown(found));
    expect(extra.broken()).toBe('filters');
  });

  it('lets a record that has changed meanwhile leave its group', () => {
    const { oracle, applied, broken } = harness();
    const { serial } = applied(1n);
    const floor = oracle.beginRead(KEY);
    applied(2n, 'patch');
    oracle.endGroupRead(groupOf(serial), KEY, floor, undefined);
    expect(broken()).toBeUndefined();
  });

  it('finds a write that is applied twice (F-22)', () => {
    const read = harness();
    read.reads(read.applied(1n), 2n);
    expect(read.broken()).toBe('exactly once');

    const logged = harness();
    logged.logged(logged.applied(1n, 'patch'), 3n);
    expect(logged.broken()).toBe('exactly once');
  });

  it('finds a patch that is seen on two records (F-22)', () => {
    const { oracle, applied, logged, shown, broken } = harness();
    const [first, second] = [applied(1n), applied(2n)];
    const patch = oracle.beginWrite(KEY, 'patch');
    logged(patch, 3n);
    oracle.endRead(KEY, undefined, shown(patch, 3n, second.serial));
    expect(broken()).toBeUndefined();
    oracle.endRead(KEY, undefined, shown(patch, 3n, first.serial));
    expect(broken()).toBe('exactly once');
  });

  it('finds an applied write that was said not to be (P-2), in either order', () => {
    const first = harness();
    const write = first.oracle.beginWrite(KEY, 'upsert');
    first.oracle.endWrite(write, { kind: 'not-applied' });
    first.logged(write, 1n);
    expect(first.broken()).toBe('P-2');

    const second = harness();
    const open = second.oracle.beginWrite(KEY, 'upsert');
    second.logged(open, 1n);
    second.oracle.endWrite(open, { kind: 'not-applied' });
    expect(second.broken()).toBe('P-2');
  });

  it('finds an acknowledged write that is in no log (P-1)', () => {
    const { oracle, broken } = harness();
    oracle.endWrite(oracle.beginWrite(KEY, 'upsert'), { kind: 'applied', version: 1n });
    expect(broken()).toBe('acknowledged is logged');
  });

  it('finds a record that nobody wrote, or wrote under another key', () => {
    const { oracle, broken, shown } = harness();
    const elsewhere = oracle.beginWrite('other', 'upsert');
    oracle.endRead(KEY, undefined, shown(elsewhere, 1n));
    expect(broken()).toBe('no phantoms');
  });

  it('finds a version that does not grow', () => {
    const { oracle, applied, broken } = harness();
    const { floor } = oracle.beginWrite(KEY, 'upsert');
    expect(floor).toBeUndefined();
    applied(2n);
    applied(2n, 'delete');
    expect(broken()).toBe('versions grow');
  });
});

describe('tenants (U1)', () => {
  const acme = { collection: COLLECTION, tenant: 'acme' };
  const bolt = { collection: COLLECTION, tenant: 'bolt' };
  const all = { collection: COLLECTION, tenant: undefined };

  /** One record of each, under the same id. */
  function houses() {
    const { oracle, broken } = harness();
    const [ours, theirs] = [acme, bolt].map((space, at) => {
      const write = oracle.beginWrite(keyOf(space, KEY), 'upsert');
      const version = BigInt(at + 1);
      oracle.logged(write.key, version, write.serial);
      oracle.endWrite(write, { kind: 'applied', version });
      return { key: write.key, shown: { serial: write.serial, base: write.serial, version } };
    });
    if (ours === undefined || theirs === undefined) throw new Error('two records');
    return { oracle, broken, ours, theirs };
  }

  it('see their own records, and all of them where they ask for all', () => {
    const { oracle, broken, ours, theirs } = houses();
    oracle.assertIsolated(acme, ours.key, ours.shown);
    oracle.assertIsolated(all, theirs.key, theirs.shown);
    expect(oracle.keysIn(acme)).toEqual([ours.key]);
    expect(oracle.keysIn(all)).toEqual([ours.key, theirs.key]);
    expect(broken()).toBeUndefined();
  });

  it("are found to see another's record, under its name or their own", () => {
    const named = houses();
    named.oracle.assertIsolated(acme, named.theirs.key, named.theirs.shown);
    expect(named.broken()).toBe('isolation');
    const renamed = houses();
    renamed.oracle.assertIsolated(acme, renamed.ours.key, renamed.theirs.shown);
    expect(renamed.broken()).toBe('isolation');
  });

  it.each([
    [acme, 1, undefined],
    [all, 2, undefined],
    [acme, 2, 'counts'],
    [acme, 0, 'counts'],
    [all, 1, 'counts'],
  ])('count what is theirs: %o, %i', (scope, count, expected) => {
    const { oracle, broken } = houses();
    oracle.endCount(scope, oracle.beginReads(scope), count);
    expect(broken()).toBe(expected);
  });

  it('may count or not what comes or goes meanwhile', () => {
    for (const count of [0, 1, 2]) {
      const { oracle, broken, ours } = houses();
      const floors = oracle.beginReads(acme);
      oracle.logged(ours.key, 3n, undefined);
      const write = oracle.beginWrite(keyOf(acme, 'new'), 'upsert');
      oracle.logged(write.key, 4n, write.serial);
      oracle.endCount(acme, floors, count);
      expect(broken()).toBeUndefined();
    }
  });

  it('are swept one by one', () => {
    const { oracle, broken, ours, theirs } = houses();
    const group = groupOf(ours.shown.serial);
    const floors = oracle.beginSweep(group, acme);
    oracle.swept(ours.key, ours.shown.serial);
    expect(broken()).toBeUndefined();
    oracle.endSweep(group, floors, acme);
    oracle.beginSweep(groupOf(theirs.shown.serial), acme);
    oracle.swept(theirs.key, theirs.shown.serial);
    expect(broken()).toBe('sweeps take what matches');
  });
});

describe('conditions that do not hold (W1)', () => {
  const demand = { kind: 'version', version: 1n, serial: 1 } as const;

  it('name the version of the record', () => {
    const { oracle, applied, broken } = harness();
    applied(1n);
    const write = oracle.beginWrite(KEY, 'upsert', demand);
    applied(2n);
    oracle.endWrite(write, { kind: 'not-applied', met: { kind: 'record', version: 2n } });
    expect(broken()).toBeUndefined();
  });

  it.each([
    ['a version that the record never had', 3n],
    ['the very version that is demanded', 1n],
  ])('are found to name %s', (_, version) => {
    const { oracle, applied, broken } = harness();
    applied(1n);
    const write = oracle.beginWrite(KEY, 'upsert', demand);
    oracle.endWrite(write, { kind: 'not-applied', met: { kind: 'record', version } });
    expect(broken()).toBe('conflicts name versions');
  });

  it('are found to name a version that was gone before they were asked', () => {
    const { oracle, applied, broken } = harness();
    applied(1n);
    applied(2n);
    const absent = oracle.beginWrite(KEY, 'upsert', { kind: 'absent' });
    oracle.endWrite(absent, { kind: 'not-applied', met: { kind: 'record', version: 1n } });
    expect(broken()).toBe('reads are fresh');
  });

  it('are found to miss a record that is there', () => {
    const { oracle, applied, broken } = harness();
    applied(1n);
    const exists = oracle.beginWrite(KEY, 'upsert', { kind: 'exists' });
    oracle.endWrite(exists, { kind: 'not-applied', met: { kind: 'nothing' } });
    expect(broken()).toBe('acknowledged writes survive');
  });
});
