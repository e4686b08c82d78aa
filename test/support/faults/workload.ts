/** What the workloads of a fault run share: clients, a clock, a journal, and the shards of keys. */
import type { Flotilla, RecordOutcome, WriteResult } from '../../../src/client/index.js';
import { defined } from '../../../src/shared/assert.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import type { Fault } from '../../history/operation.js';
import { Recorder, type Span } from '../../history/recorder.js';
import { Journal } from './journal.js';
import { KeySpace } from './key-space.js';

/** Operations on a collection of its own, recorded, and judged when all is over. */
export interface Workload {
  readonly name: string;
  /** Makes the collection. */
  prepare(): Promise<void>;
  /** One operation of one client, whatever becomes of it. */
  operate(clientAt: number): Promise<void>;
  /** Final strong reads, when all faults are healed and no operation is under way. */
  finish(): Promise<void>;
  /** What no correct cluster can have answered. */
  faults(): Fault[];
}

export interface WorkloadWorldOptions {
  /** One for each worker. They retry as they do in production. */
  readonly clients: readonly Flotilla[];
  /** In [0, 1). */
  readonly random: () => number;
  readonly shards: number;
}

type AppliedOutcome = Extract<RecordOutcome, { kind: 'applied' }>;

/** A write of one record that was answered, and not acknowledged. */
class UnacknowledgedError extends Error {
  override readonly name = 'UnacknowledgedError';
  readonly outcome: 'not-applied' | 'unknown';
  readonly reason: ErrorReason;

  constructor(outcome: 'not-applied' | 'unknown', reason: ErrorReason) {
    super(`${outcome}: ${reason}`);
    this.outcome = outcome;
    this.reason = reason;
  }
}

export class WorkloadWorld {
  readonly journal = new Journal();
  readonly keys: KeySpace;
  readonly random: () => number;
  readonly shards: number;
  readonly #clients: readonly Flotilla[];

  constructor({ clients, random, shards }: WorkloadWorldOptions) {
    this.#clients = clients;
    this.random = random;
    this.shards = shards;
    this.keys = new KeySpace(shards);
  }

  client(at: number): Flotilla {
    return defined(this.#clients[at % this.#clients.length], `client ${at}`);
  }

  now(): number {
    return performance.now();
  }

  /** A whole number in [0, below). */
  pick(below: number): number {
    return Math.floor(this.random() * below);
  }

  recorder<O extends Span>(): Recorder<O> {
    return new Recorder({
      now: () => this.now(),
      isRefusal: (error) => outcomeOf(error) === 'not-applied',
    });
  }

  note(span: Span, kind: 'read' | 'write', shardId: number | undefined): void {
    const { start, end, outcome, error } = span;
    this.journal.note({ start, end, outcome, kind, shardId, reason: reasonOf(error) });
  }
}

/** What a write of one record was told; rejects where it is not acknowledged. */
export async function acknowledged(write: Promise<WriteResult>): Promise<AppliedOutcome> {
  const [outcome] = (await write).outcomes;
  if (outcome?.kind === 'applied') return outcome;
  throw new UnacknowledgedError(outcome?.kind ?? 'unknown', outcome?.reason ?? 'INTERNAL');
}

function outcomeOf(error: unknown): 'not-applied' | 'unknown' {
  if (error instanceof UnacknowledgedError || isFlotillaError(error)) return error.outcome;
  return 'unknown';
}

function reasonOf(error: unknown): ErrorReason | undefined {
  if (error === undefined) return undefined;
  if (error instanceof UnacknowledgedError || isFlotillaError(error)) return error.reason;
  return 'INTERNAL';
}
