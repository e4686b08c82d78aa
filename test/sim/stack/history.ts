/**
 * Goal: the operations of a run as the checkers of test/history take them.
 *
 * Method: a key is a register of the serial that wrote it last. A condition is a compare-and-set,
 * or what it met is a read; what a sweep or an expiry has removed the log tells.
 */
import type { Outcome, RegisterOperation } from '../../history/operation.js';
import type { Demand, Met, Write, WriteEnd } from './register-oracle.js';

interface EndedWrite {
  readonly client: string;
  readonly start: number;
  readonly write: Write;
  readonly outcome: WriteEnd;
  readonly existed: boolean | undefined;
  /** Whose record the condition met, if it did not hold. */
  readonly metSerial: number | undefined;
}

type Common = Pick<RegisterOperation, 'client' | 'key' | 'start' | 'end'>;

export class StackHistory {
  readonly operations: RegisterOperation[] = [];
  /** When a write was known to be in its log, by serial. */
  readonly #logged = new Map<number, number>();
  #now = 0;

  /** Positions on one clock, all different: the finest order that one thread can tell. */
  now(): number {
    return ++this.#now;
  }

  wrote(call: EndedWrite): void {
    const { client, start, write, outcome } = call;
    const common = { client, key: write.key, start, end: this.now() };
    const operation =
      outcome.kind === 'not-applied' && outcome.met !== undefined
        ? whatWasMet(common, outcome.met, call.metSerial)
        : writeOperation(common, call);
    this.operations.push(operation);
  }

  read(call: {
    readonly client: string;
    readonly start: number;
    readonly key: string;
    readonly serial: number | undefined;
  }): void {
    const { client, start, key, serial } = call;
    const end = this.now();
    this.operations.push({ client, key, start, end, outcome: 'ok', op: 'read', value: serial });
  }

  /** The write is in its log. */
  logged(serial: number): void {
    this.#logged.set(serial, this.now());
  }

  /** The log shows that no client's delete, but a sweep or an expiry, took the record away. */
  removed(key: string, serial: number): void {
    const start = this.#logged.get(serial) ?? 0;
    const common = { client: 'log', key, start, end: this.now() };
    this.operations.push(swap(common, 'ok', serial, undefined));
  }
}

function writeOperation(
  common: Common,
  { write, outcome: end, existed }: EndedWrite,
): RegisterOperation {
  const { kind, serial, demand } = write;
  const outcome = OUTCOMES[end.kind];
  const value = kind === 'delete' ? undefined : serial;
  const expected = expectedBy(demand);
  if (expected !== undefined) return swap(common, outcome, expected.serial, value);
  const found = { ...common, outcome, existed };
  return value === undefined ? { ...found, op: 'delete' } : { ...found, op: 'write', value };
}

/** Who must have written the record last; nobody's `serial` where there must be none. */
function expectedBy(
  demand: Demand | undefined,
): { readonly serial: number | undefined } | undefined {
  switch (demand?.kind) {
    case 'absent':
      return { serial: undefined };
    case 'version':
      return { serial: demand.serial };
    default:
      return undefined;
  }
}

function whatWasMet(common: Common, met: Met, serial: number | undefined): RegisterOperation {
  const value = met.kind === 'nothing' ? undefined : serial;
  return { ...common, outcome: 'ok', op: 'read', value };
}

function swap(
  common: Common,
  outcome: Outcome,
  expected: number | undefined,
  value: number | undefined,
): RegisterOperation {
  return { ...common, outcome, op: 'cas', expected, value, swapped: true };
}

const OUTCOMES = { applied: 'ok', 'not-applied': 'fail', unknown: 'unknown' } as const;
