/**
 * Goal: tell a stale, lost, doubled or invented record at the moment that someone sees it.
 *
 * Method: every write carries a serial of its own, and Flotilla gives every applied write a version
 * that grows along its shard's log. So a read is judged in O(1): by what was complete when it
 * began (its floor), and by what is known of the write whose serial it shows.
 */
import { defined, unreachable } from '../../../src/shared/assert.js';
import type { Version } from '../../../src/shared/types.js';
import type { Findings } from './findings.js';

export type WriteKind = 'upsert' | 'delete';

export type WriteEnd =
  | { readonly kind: 'applied'; readonly version: Version }
  | { readonly kind: 'not-applied' }
  | { readonly kind: 'unknown' };

/** A write from the moment that a client decided on it. */
export interface Write {
  readonly serial: number;
  readonly key: string;
  readonly kind: WriteKind;
  /** What was complete when the write began. */
  readonly floor: Floor | undefined;
  /** `undefined` while it is under way. An unknown outcome may become true at any later time. */
  end: WriteEnd | undefined;
  /** The version that somebody has seen the write under. */
  seenVersion: Version | undefined;
}

/** The newest state of a key that is known to be reached: no later read may be older. */
export interface Floor {
  readonly kind: WriteKind;
  readonly version: Version;
}

/** What a read shows of a key. */
export interface Observed {
  readonly serial: number;
  readonly version: Version;
}

interface KeyState {
  floor: Floor | undefined;
  /** Deletes that are under way, or of which nobody will ever know. */
  openDeletes: number;
  lastDelete: Version;
}

export class RegisterOracle {
  readonly #findings: Findings;
  readonly #keys = new Map<string, KeyState>();
  readonly #writes = new Map<number, Write>();
  #lastSerial = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  get keys(): readonly string[] {
    return [...this.#keys.keys()].sort();
  }

  /** Writes that are known to be applied. */
  get applied(): number {
    return [...this.#writes.values()].filter(({ end }) => end?.kind === 'applied').length;
  }

  beginWrite(key: string, kind: WriteKind): Write {
    const state = this.#state(key);
    const serial = ++this.#lastSerial;
    const write: Write = {
      serial,
      key,
      kind,
      floor: state.floor,
      end: undefined,
      seenVersion: undefined,
    };
    this.#writes.set(serial, write);
    if (kind === 'delete') state.openDeletes++;
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

  endRead(key: string, floor: Floor | undefined, observed: Observed | undefined): void {
    if (observed === undefined) this.#endEmptyRead(key, floor);
    else this.#endFullRead(key, floor, observed);
  }

  /** Whether a strong read that begins now must show a record: nothing may be deleting it. */
  mustExist(key: string): boolean {
    const state = this.#state(key);
    return state.floor?.kind === 'upsert' && !mayBeDeleted(state, state.floor);
  }

  #applied(write: Write, version: Version): void {
    const state = this.#state(write.key);
    if (write.floor !== undefined && version <= write.floor.version) {
      this.#findings.report(
        'versions grow',
        `${nameOf(write)} got version ${version}, begun after ${write.floor.version}`,
      );
    }
    this.#noteVersion(write, version);
    if (write.kind === 'delete') {
      state.openDeletes--;
      if (version > state.lastDelete) state.lastDelete = version;
    }
    this.#raise(state, { kind: write.kind, version });
  }

  #refused(write: Write): void {
    if (write.kind === 'delete') this.#state(write.key).openDeletes--;
    if (write.seenVersion === undefined) return;
    this.#findings.report('P-2', `${nameOf(write)} is said not to be applied, and was`);
  }

  #endEmptyRead(key: string, floor: Floor | undefined): void {
    if (floor === undefined || floor.kind === 'delete') return;
    if (mayBeDeleted(this.#state(key), floor)) return;
    this.#findings.report(
      'acknowledged writes survive',
      `a read of ${key} finds nothing, version ${floor.version} was complete before it began`,
    );
  }

  #endFullRead(key: string, floor: Floor | undefined, { serial, version }: Observed): void {
    const write = this.#writes.get(serial);
    if (write === undefined || write.key !== key || write.kind !== 'upsert') {
      this.#findings.report('no phantoms', `${key} shows ${serial}, which nobody wrote there`);
      return;
    }
    if (write.end?.kind === 'not-applied') {
      this.#findings.report('P-2', `${nameOf(write)} is said not to be applied, and was read`);
    }
    if (floor !== undefined && version < floor.version) {
      this.#findings.report(
        'reads are fresh',
        `a read of ${key} shows version ${version} (serial ${serial}), ` +
          `${floor.kind} ${floor.version} was complete before it began`,
      );
    }
    this.#noteVersion(write, version);
    this.#raise(this.#state(key), { kind: 'upsert', version });
  }

  /** A write has one place in the log: one version, whoever tells it. */
  #noteVersion(write: Write, version: Version): void {
    write.seenVersion ??= version;
    if (write.seenVersion === version) return;
    this.#findings.report(
      'exactly once',
      `${nameOf(write)} was applied as version ${write.seenVersion} and as ${version}`,
    );
  }

  #raise(state: KeyState, floor: Floor): void {
    if (state.floor === undefined || floor.version > state.floor.version) state.floor = floor;
  }

  #state(key: string): KeyState {
    if (!this.#keys.has(key)) {
      this.#keys.set(key, { floor: undefined, openDeletes: 0, lastDelete: 0n });
    }
    return defined(this.#keys.get(key), `key ${key}`);
  }
}

function mayBeDeleted(state: KeyState, floor: Floor): boolean {
  return state.openDeletes > 0 || state.lastDelete > floor.version;
}

function nameOf({ kind, serial, key }: Write): string {
  return `${kind} ${serial} of ${key}`;
}
