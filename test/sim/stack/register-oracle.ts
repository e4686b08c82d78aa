/**
 * Goal: tell a stale, lost, doubled or invented record at the moment that someone sees it.
 *
 * Method: every write carries a serial of its own, and Flotilla gives every applied write a version
 * that grows along its shard's log. So a read is judged in O(1): by what was complete when it
 * began (its floor), by what the log has done to its key, and by what is known of the write whose
 * serial it shows. What is in no log must not be seen, and nothing goes without an entry that took
 * it away: a delete, a sweep, or an expiry.
 */
import { defined, unreachable } from '../../../src/shared/assert.js';
import type { Version } from '../../../src/shared/types.js';
import { describeScope, HOME, isIn, type Scope, type Space, spaceOf } from './address.js';
import type { Findings } from './findings.js';
import { type Authors, groupOf } from './record-content.js';

export type WriteKind = 'upsert' | 'patch' | 'delete';

/** What a write demands of its record; a version, and whose it was, as its client knows them. */
export type Demand =
  | { readonly kind: 'absent' }
  | { readonly kind: 'exists' }
  | { readonly kind: 'version'; readonly version: Version; readonly serial: number };

/** What a condition that does not hold was held against. */
export type Met = { readonly kind: 'nothing' } | { readonly kind: 'record'; version: Version };

export type WriteEnd =
  | { readonly kind: 'applied'; readonly version: Version }
  /** `met` where the condition did not hold, and the answer says so. */
  | { readonly kind: 'not-applied'; readonly met?: Met | undefined }
  | { readonly kind: 'unknown' };

/** A write from the moment that a client decided on it. */
export interface Write {
  readonly serial: number;
  readonly key: string;
  readonly kind: WriteKind;
  readonly demand: Demand | undefined;
  /** What was complete when the write began. */
  readonly floor: Floor | undefined;
  /** `undefined` while it is under way. An unknown outcome may become true at any later time. */
  end: WriteEnd | undefined;
  /** The version that somebody has seen the write under. */
  seenVersion: Version | undefined;
  /** Whose record somebody has seen the patch on. */
  seenBase: number | undefined;
}

/**
 * The newest state of a key that is known to be reached: no later read may be older. `nothing`:
 * what had this version, or was deleted by it, is gone.
 */
export interface Floor {
  readonly kind: 'record' | 'nothing';
  readonly version: Version;
  /** Of the write that led there. */
  readonly serial: number;
}

/** What a read shows of a key. */
export interface Observed extends Authors {
  readonly version: Version;
}

interface KeyState {
  floor: Floor | undefined;
  /** All floors that there were, and since when, in order. */
  readonly floors: { readonly sinceMs: number; readonly floor: Floor }[];
  /** What the log has done to the key, by version: whose record it was then, if it was one. */
  readonly log: Map<Version, number | undefined>;
  lastChange: Version;
  lastPut: Version;
  lastRemoval: Version;
}

/** What was complete when a read of many keys began; keys that came later are not in it. */
export type Floors = ReadonlyMap<string, Floor | undefined>;

export class RegisterOracle {
  readonly #findings: Findings;
  readonly #keys = new Map<string, KeyState>();
  readonly #writes = new Map<number, Write>();
  /** By space and group. */
  readonly #openSweeps = new Map<string, number>();
  readonly #nowMs: () => number;
  #lastSerial = 0;

  /** `nowMs` is the true time. */
  constructor(findings: Findings, nowMs: () => number) {
    this.#findings = findings;
    this.#nowMs = nowMs;
  }

  get keys(): readonly string[] {
    return [...this.#keys.keys()].sort();
  }

  keysIn(scope: Scope): readonly string[] {
    return this.keys.filter((key) => isIn(scope, key));
  }

  beginWrite(key: string, kind: WriteKind, demand?: Demand): Write {
    const { floor } = this.#state(key);
    const serial = ++this.#lastSerial;
    const write: Write = {
      serial,
      key,
      kind,
      demand,
      floor,
      end: undefined,
      seenVersion: undefined,
      seenBase: undefined,
    };
    this.#writes.set(serial, write);
    return write;
  }

  endWrite(write: Write, end: WriteEnd): void {
    if (write.end !== undefined) {
      this.#findings.report('settled once', `${nameOf(write)} was settled twice`);
      return;
    }
    write.end = end;
    switch (end.kind) {
      case 'applied':
        this.#applied(write, end.version);
        break;
      case 'not-applied':
        this.#refused(write);
        if (end.met !== undefined) this.#met(write, end.met);
        break;
      case 'unknown':
        break;
      default:
        unreachable(end);
    }
  }

  /** Call before the read is sent; the answer goes to `endRead`. */
  beginRead(key: string): Floor | undefined {
    return this.#state(key).floor;
  }

  /** The same for all keys that a read may find. */
  beginReads(scope: Scope): Floors {
    return new Map(this.keysIn(scope).map((key) => [key, this.beginRead(key)]));
  }

  /** What was complete at a time that is over: no read that is fresh as of then may be older. */
  floorAt(key: string, atMs: number): Floor | undefined {
    return this.#state(key).floors.findLast(({ sinceMs }) => sinceMs <= atMs)?.floor;
  }

  /** What a read shows that may be of any age: it was committed once all the same. */
  assertCommitted(key: string, observed: Observed | undefined): void {
    if (observed === undefined) return;
    const { serial, version } = observed;
    if (this.#state(key).log.get(version) === serial) return;
    const message = `${key} shows ${serial} as version ${version}, which is not in the log`;
    this.#findings.report('reads are of committed states', message);
  }

  endRead(key: string, floor: Floor | undefined, observed: Observed | undefined): void {
    if (observed === undefined) this.#endEmptyRead(key, floor);
    else this.#endFullRead(key, floor, observed);
  }

  /** As `endRead`, of a read that finds the records of one group only. */
  endGroupRead(
    group: number,
    key: string,
    floor: Floor | undefined,
    observed: Observed | undefined,
  ): void {
    if (observed !== undefined) {
      if (groupOf(observed.serial) !== group) {
        this.#findings.report('filters', `${key} by ${observed.serial} is not of group ${group}`);
      }
      this.#endFullRead(key, floor, observed);
    } else if (floor?.kind === 'record' && groupOf(floor.serial) === group) {
      if (this.#state(key).lastChange <= floor.version) this.#lost(key, floor);
    }
  }

  /** A linearizable count: each record was there or not at some moment between begin and end. */
  endCount(scope: Scope, floors: Floors, count: number): void {
    let [least, most] = [0, 0];
    for (const key of this.keysIn(scope)) {
      const { lastPut, lastRemoval } = this.#state(key);
      const floor = floors.get(key);
      if (floor?.kind === 'record' && lastRemoval <= floor.version) least++;
      if (floor?.kind === 'record' || lastPut > (floor?.version ?? 0n)) most++;
    }
    if (least <= count && count <= most) return;
    const message = `${describeScope(scope)}: ${count} records, of ${least} to ${most}`;
    this.#findings.report('counts', message);
  }

  /** Whoever asks is shown what was written where it asks, whatever the key is called (U1). */
  assertIsolated(scope: Scope, key: string, { serial }: Observed): void {
    const owner = this.#writes.get(serial)?.key ?? key;
    if (isIn(scope, key) && isIn(scope, owner)) return;
    const message = `a read of ${describeScope(scope)} shows ${key}, written as ${owner}`;
    this.#findings.report('isolation', message);
  }

  /** Call before a sweep of a group is sent, and `endSweep` when all of the group was looked at. */
  beginSweep(group: number, space: Space = HOME): Floors {
    const name = sweepName(group, space);
    this.#openSweeps.set(name, 1 + (this.#openSweeps.get(name) ?? 0));
    return this.beginReads(space);
  }

  endSweep(group: number, floors: Floors, space: Space = HOME): void {
    const name = sweepName(group, space);
    this.#openSweeps.set(name, (this.#openSweeps.get(name) ?? 0) - 1);
    for (const [key, floor] of floors) {
      if (floor?.kind !== 'record' || groupOf(floor.serial) !== group) continue;
      this.#raise(this.#state(key), { ...floor, kind: 'nothing' });
    }
  }

  /** An entry of the log has changed the key: `serial` wrote the record, or it is gone. */
  logged(key: string, version: Version, serial: number | undefined): void {
    const state = this.#state(key);
    state.log.set(version, serial);
    state.lastChange = version;
    if (serial === undefined) state.lastRemoval = version;
    else {
      state.lastPut = version;
      this.#noteVersion(serial, version);
    }
  }

  /** A sweep has removed a record: some sweep of its group must be under way, or not be decided. */
  swept(key: string, serial: number): void {
    const group = groupOf(serial);
    if ((this.#openSweeps.get(sweepName(group, spaceOf(key))) ?? 0) > 0) return;
    const message = `${key} by ${serial} is deleted, and nobody sweeps group ${group}`;
    this.#findings.report('sweeps take what matches', message);
  }

  /** Whose record a key was at a version; `undefined` where it was none. */
  serialAt(key: string, version: Version): number | undefined {
    return this.#state(key).log.get(version);
  }

  #applied(write: Write, version: Version): void {
    const { key, kind, serial, floor } = write;
    const state = this.#state(key);
    if (floor !== undefined && version <= floor.version) {
      this.#findings.report(
        'versions grow',
        `${nameOf(write)} got version ${version}, begun after ${floor.version}`,
      );
    }
    if (kind !== 'delete' && state.log.get(version) !== serial) {
      const message = `${nameOf(write)} is acknowledged as ${version}, which is not in the log`;
      this.#findings.report('acknowledged is logged', message);
    }
    this.#raise(state, { kind: kind === 'delete' ? 'nothing' : 'record', version, serial });
  }

  #refused(write: Write): void {
    if (write.seenVersion === undefined) return;
    this.#findings.report('P-2', `${nameOf(write)} is said not to be applied, and was`);
  }

  /** A condition that did not hold has read its record. */
  #met(write: Write, met: Met): void {
    const { key, floor, demand } = write;
    if (met.kind === 'nothing') {
      this.#endEmptyRead(key, floor);
      return;
    }
    const { version } = met;
    const state = this.#state(key);
    if (state.log.get(version) === undefined) {
      const message = `${nameOf(write)} met version ${version}, which ${key} never had`;
      this.#findings.report('conflicts name versions', message);
    }
    if (demand?.kind === 'version' && demand.version === version) {
      const message = `${nameOf(write)} met the version that it demands, ${version}`;
      this.#findings.report('conflicts name versions', message);
    }
    this.#fresh(key, floor, version, 'a conflict');
  }

  #endEmptyRead(key: string, floor: Floor | undefined): void {
    if (floor === undefined || floor.kind === 'nothing') return;
    if (this.#state(key).lastRemoval <= floor.version) this.#lost(key, floor);
  }

  #lost(key: string, floor: Floor): void {
    this.#findings.report(
      'acknowledged writes survive',
      `a read of ${key} finds nothing, version ${floor.version} was complete before it began`,
    );
  }

  #endFullRead(key: string, floor: Floor | undefined, observed: Observed): void {
    const { serial, base, version } = observed;
    const write = this.#writes.get(serial);
    const maker = this.#writes.get(base);
    const isMade = maker?.kind === 'upsert' && maker.key === key;
    if (write?.key !== key || write.kind === 'delete' || !isMade) {
      const message = `${key} shows ${base} and ${serial}, which nobody wrote there`;
      this.#findings.report('no phantoms', message);
      return;
    }
    this.#noteVersion(serial, version);
    write.seenBase ??= base;
    if (write.seenBase !== base) {
      const message = `${nameOf(write)} is on ${base}, and was on ${write.seenBase}`;
      this.#findings.report('exactly once', message);
    }
    this.#fresh(key, floor, version, `a read that shows ${serial}`);
  }

  #fresh(key: string, floor: Floor | undefined, version: Version, what: string): void {
    const isGone = floor?.kind === 'nothing' && version === floor.version;
    if (floor !== undefined && (isGone || version < floor.version)) {
      this.#findings.report(
        'reads are fresh',
        `${what} of ${key} tells of version ${version}, ` +
          `${floor.kind} ${floor.version} was complete before it began`,
      );
    }
    const state = this.#state(key);
    const serial = state.log.get(version);
    if (serial !== undefined) this.#raise(state, { kind: 'record', version, serial });
  }

  /** A write has one place in the log: one version, whoever tells it. */
  #noteVersion(serial: number, version: Version): void {
    const write = this.#writes.get(serial);
    if (write === undefined) return;
    if (write.end?.kind === 'not-applied') {
      this.#findings.report('P-2', `${nameOf(write)} is said not to be applied, and was`);
    }
    write.seenVersion ??= version;
    if (write.seenVersion === version) return;
    this.#findings.report(
      'exactly once',
      `${nameOf(write)} was applied as version ${write.seenVersion} and as ${version}`,
    );
  }

  /** Of one version, what came after it counts. */
  #raise(state: KeyState, floor: Floor): void {
    const known = state.floor?.version ?? 0n;
    const isNewer = floor.version > known || (floor.version === known && floor.kind === 'nothing');
    if (!isNewer) return;
    state.floor = floor;
    state.floors.push({ sinceMs: this.#nowMs(), floor });
  }

  #state(key: string): KeyState {
    if (!this.#keys.has(key)) {
      const none = { floor: undefined, lastChange: 0n, lastPut: 0n, lastRemoval: 0n };
      this.#keys.set(key, { ...none, floors: [], log: new Map() });
    }
    return defined(this.#keys.get(key), `key ${key}`);
  }
}

function sweepName(group: number, { collection, tenant }: Space): string {
  return `${group} ${collection}/${tenant}`;
}

function nameOf({ kind, serial, key }: Write): string {
  return `${kind} ${serial} of ${key}`;
}
