// Goal: the oracle of the full-stack simulator speaks up when it has to, and only then.
// Method: tiny histories by hand, one for each thing that can be wrong and its honest twin.
import { describe, expect, it } from 'vitest';
import { Findings } from './findings.js';
import { RegisterOracle, type Write, type WriteKind } from './register-oracle.js';

const KEY = 'key';

function harness() {
  const findings = new Findings(() => 0);
  const oracle = new RegisterOracle(findings);
  const applied = (version: bigint, kind: WriteKind = 'upsert'): Write => {
    const write = oracle.beginWrite(KEY, kind);
    oracle.endWrite(write, { kind: 'applied', version });
    return write;
  };
  const reads = (shown: Write | undefined, version = shown?.seenVersion ?? 0n): void => {
    const observed = shown && { serial: shown.serial, version };
    oracle.endRead(KEY, oracle.beginRead(KEY), observed);
  };
  return { oracle, applied, reads, broken: () => findings.first?.invariant };
}

describe('the register oracle', () => {
  it('accepts the newest of the acknowledged writes, and one that came meanwhile', () => {
    const { oracle, applied, reads, broken } = harness();
    reads(undefined);
    reads(applied(1n));
    const floor = oracle.beginRead(KEY);
    const newer = applied(2n);
    oracle.endRead(KEY, floor, { serial: newer.serial, version: 2n });
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
    const { oracle, applied, reads, broken } = harness();
    const old = applied(1n);
    const open = oracle.beginWrite(KEY, 'upsert');
    oracle.endRead(KEY, oracle.beginRead(KEY), { serial: open.serial, version: 2n });
    reads(old);
    expect(broken()).toBe('reads are fresh');
  });

  it('finds a lost write (P-1), unless a delete may have come', () => {
    const lost = harness();
    lost.applied(1n);
    lost.reads(undefined);
    expect(lost.broken()).toBe('acknowledged writes survive');

    const deleted = harness();
    deleted.applied(1n);
    deleted.oracle.endWrite(deleted.oracle.beginWrite(KEY, 'delete'), { kind: 'unknown' });
    deleted.reads(undefined);
    expect(deleted.broken()).toBeUndefined();
  });

  it('finds a record that came back from a delete', () => {
    const { applied, reads, broken } = harness();
    const gone = applied(1n);
    applied(2n, 'delete');
    reads(gone);
    expect(broken()).toBe('reads are fresh');
  });

  it('finds a write that is applied twice (F-22)', () => {
    const { oracle, applied, reads, broken } = harness();
    const write = applied(1n);
    const open = oracle.beginWrite(KEY, 'upsert');
    reads(write, 2n);
    expect(broken()).toBe('exactly once');
    expect(open.end).toBeUndefined();
  });

  it('finds an applied write that was said not to be (P-2), in either order', () => {
    const first = harness();
    const write = first.oracle.beginWrite(KEY, 'upsert');
    first.oracle.endWrite(write, { kind: 'not-applied' });
    first.reads(write, 1n);
    expect(first.broken()).toBe('P-2');

    const second = harness();
    const open = second.oracle.beginWrite(KEY, 'upsert');
    second.reads(open, 1n);
    second.oracle.endWrite(open, { kind: 'not-applied' });
    expect(second.broken()).toBe('P-2');
  });

  it('finds a record that nobody wrote, or wrote under another key', () => {
    const { oracle, broken } = harness();
    const elsewhere = oracle.beginWrite('other', 'upsert');
    oracle.endRead(KEY, undefined, { serial: elsewhere.serial, version: 1n });
    expect(broken()).toBe('no phantoms');
  });

  it('finds a version that does not grow', () => {
    const { applied, broken } = harness();
    applied(2n);
    applied(2n);
    expect(broken()).toBe('versions grow');
  });
});
