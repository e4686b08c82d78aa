/** Goal: the operations of a run as the checkers of test/history take them. */
import type { Outcome, RegisterOperation } from '../../history/operation.js';
import type { Write, WriteEnd } from './register-oracle.js';

export class StackHistory {
  readonly operations: RegisterOperation[] = [];
  #now = 0;

  /** Positions on one clock, all different: the finest order that one thread can tell. */
  now(): number {
    return ++this.#now;
  }

  wrote(call: {
    readonly client: string;
    readonly start: number;
    readonly write: Write;
    readonly outcome: WriteEnd;
    readonly existed: boolean | undefined;
  }): void {
    const { client, start, write, existed } = call;
    const { key, serial } = write;
    const outcome: Outcome = OUTCOMES[call.outcome.kind];
    const common = { client, key, start, end: this.now(), outcome, existed };
    this.operations.push(
      write.kind === 'delete'
        ? { ...common, op: 'delete' }
        : { ...common, op: 'write', value: serial },
    );
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
}

const OUTCOMES = { applied: 'ok', 'not-applied': 'fail', unknown: 'unknown' } as const;
