import type { StoredConfiguration } from './log-image.js';
import type { RegisterMachine } from './register-machine.js';

/** A state machine as it was at one index, with the configuration in force there. Never changed. */
export interface StateImage {
  readonly machine: RegisterMachine;
  readonly configuration: StoredConfiguration;
  /** Hash of the history up to its index. */
  readonly hash: number;
}
