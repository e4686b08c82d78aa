/** What commands know of the world around them; tests pass their own. */
import type { Flotilla } from '../client/index.js';

export interface TextOutput {
  /** Whether a person watches, so that lines may be drawn over. */
  readonly isTerminal: boolean;
  /** Width of the terminal; 80 where it is not known. */
  readonly columns: number;
  /** Whether the reader has gone away: what is still written is lost. */
  readonly isClosed: boolean;
  write(text: string): void;
}

/** The signals that ask a process to stop. */
export type StopSignal = 'SIGINT' | 'SIGTERM';

export interface CliContext {
  /** Results only, so that they can be piped. */
  readonly stdout: TextOutput;
  /** Progress, warnings and errors. */
  readonly stderr: TextOutput;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds that never go backwards. */
  monotonicMs(): number;
  /** Milliseconds since 1970, by the clock of this machine. */
  wallMs(): number;
  /** Resolves after `delayMs`, or when `signal` is aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Opens a client; the caller closes it. */
  connect(addresses: readonly string[]): Promise<Flotilla>;
  /** Calls `listener` at each stop signal until the returned function is called. */
  onStopSignal(listener: (signal: StopSignal) => void): () => void;
}
