/**
 * Carries out the directives of the confchange files: each changes one configuration, which begins
 * with nobody in it, and prints it with what a leader would know of each replica.
 */

import { ConfChangeError, enterJoint, leaveJoint, simple } from '../../../src/raft/confchange.js';
import { describeProgress } from '../../../src/raft/describe.js';
import { Tracker } from '../../../src/raft/tracker.js';
import type { ConfState, ReplicaId } from '../../../src/raft/types.js';
import { parseSteps } from './conf-change-text.js';
import { DirectiveError } from './directive-error.js';
import { parseFlag } from './node-options.js';
import type { Directive } from './parser.js';
import { EMPTY_SNAPSHOT } from './replay-node.js';

const LIMITS = { maxInflightMessages: 10, maxInflightBytes: 0 };

export class ConfChangeEnvironment {
  #tracker = new Tracker(EMPTY_SNAPSHOT.meta.confState, LIMITS);
  /** Last index of the leader's log: how many directives there were. */
  #lastIndex = 0;

  /** Carries out one directive. Returns what it printed. */
  handle(directive: Directive): string {
    try {
      const confState = changed(this.#tracker.confState, directive);
      this.#tracker = this.#tracker.reconfigured(confState, this.#lastIndex);
      return this.#describe();
    } catch (error) {
      if (error instanceof ConfChangeError || error instanceof DirectiveError) {
        return `${error.message}\n`;
      }
      throw error;
    } finally {
      this.#lastIndex += 1;
    }
  }

  #describe(): string {
    const lines = this.#tracker
      .progressStatus()
      .map((progress) => `${progress.id}: ${describeProgress(progress)}\n`);
    return `${describeConfiguration(this.#tracker.confState)}\n${lines.join('')}`;
  }
}

function changed(state: ConfState, directive: Directive): ConfState {
  const steps = parseSteps(directive.input);
  switch (directive.command) {
    case 'simple':
      return simple(state, steps);
    case 'enter-joint': {
      const value = directive.arguments.find((each) => each.key === 'autoleave')?.values[0];
      return enterJoint(state, steps, parseFlag(value ?? 'false', 'autoleave'));
    }
    case 'leave-joint':
      return leaveJoint(state);
    default:
      throw new DirectiveError(`unknown command ${directive.command}`);
  }
}

/** `voters=(1 2)&&(1) learners=(3) learners_next=(1) autoleave`; what is empty is left out. */
function describeConfiguration(state: ConfState): string {
  const list = (ids: readonly ReplicaId[]) => `(${ids.join(' ')})`;
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = state;
  return [
    `voters=${list(voters)}${votersOutgoing.length > 0 ? `&&${list(votersOutgoing)}` : ''}`,
    ...(learners.length > 0 ? [`learners=${list(learners)}`] : []),
    ...(learnersNext.length > 0 ? [`learners_next=${list(learnersNext)}`] : []),
    ...(autoLeave ? ['autoleave'] : []),
  ].join(' ');
}
