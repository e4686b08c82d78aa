/** Changes of a group's configuration: proposed here, and applied when their entry comes up. */
import { decodeConfChange } from '../raft/conf-change-codec.js';
import type { RawNode } from '../raft/raw-node.js';
import type {
  ConfChangeStep,
  ConfState,
  Entry,
  LogReader,
  ProposalDropReason,
} from '../raft/types.js';
import { unreachable } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import type { GroupConfiguration, GroupMember } from '../storage/log-store.js';
import { isConfChange } from './apply-queue.js';
import { decodeMembers, encodeMembers } from './member-codec.js';
import { isJoint, type Members } from './members.js';
import type { Waiters } from './waiters.js';

export interface ConfigurationChange {
  /** Carried out together: through a joint configuration where there are several (M1). */
  readonly changes: readonly ConfChangeStep[];
  /** The replicas that are new to the group. */
  readonly members: readonly GroupMember[];
}

export interface ConfigurationChangesOptions {
  readonly node: RawNode;
  readonly members: Members;
  readonly waiters: Pick<Waiters<unknown>, 'changes' | 'conditions'>;
  readonly leads: () => boolean;
  readonly schedule: () => void;
  /** The configuration in force is another one. */
  readonly onChanged: (configuration: GroupConfiguration) => void;
}

export class ConfigurationChanges {
  readonly #options: ConfigurationChangesOptions;

  constructor(options: ConfigurationChangesOptions) {
    this.#options = options;
  }

  /**
   * Proposes a change as the leader and waits until it is applied, and a joint configuration is
   * left again. Rejects with what the rules say against it (M2, M3, M9), and with OUTCOME_UNKNOWN
   * when the leadership ends first.
   */
  async make(change: ConfigurationChange): Promise<ConfState> {
    const { node, members, waiters, leads, schedule } = this.#options;
    this.#checkMembers(change);
    const context = encodeMembers(change.members);
    const { changes } = change;
    const result = node.proposeConfChange({ transition: 'auto', changes, context });
    if (result.kind === 'not-leader') {
      throw new FlotillaError('NO_LEADER', 'The replica does not lead its group any more');
    }
    if (result.kind === 'dropped') throw changeRefused(result.why);
    const applied = waiters.changes.wait(result.index, result.term, context.length);
    schedule();
    const outcome = await applied;
    if (outcome.kind === 'unknown') throw outcome.error;
    if (outcome.kind === 'lost') {
      throw new FlotillaError('NO_LEADER', 'Another leader took over before the change');
    }
    const isLeft = (): boolean => !isJoint(members.configuration.confState);
    await waiters.conditions.wait(() => isLeft() || !leads());
    if (isLeft()) return members.configuration.confState;
    throw new FlotillaError('OUTCOME_UNKNOWN', 'The leadership ended amid the change');
  }

  /**
   * Puts the change of a committed entry into force, in log order. One that the configuration
   * covers already, because it was stored before a restart, changes nothing again. Returns what is
   * in force.
   */
  apply(entry: Entry): ConfState {
    const { node, members, onChanged } = this.#options;
    if (entry.index > members.configuration.index) {
      const change = decodeConfChange(entry.data);
      const confState = node.applyConfChange(change);
      members.changeTo(entry.index, confState, decodeMembers(change.context));
      onChanged(members.configuration);
    }
    return members.configuration.confState;
  }

  /**
   * Puts the changes that were applied before a restart, but came too late to be stored as the
   * configuration, into force again. Cost: one pass over the entries behind that.
   */
  repeat(reader: LogReader, appliedIndex: number): void {
    const from = Math.max(this.#options.members.configuration.index + 1, reader.firstIndex());
    for (let index = from; index <= appliedIndex; index++) {
      for (const entry of reader.entries(index, index + 1, 0)) {
        if (isConfChange(entry)) this.apply(entry);
      }
    }
  }

  /** A replica that nobody could be sent to, or believed, must not get into the configuration. */
  #checkMembers({ changes, members }: ConfigurationChange): void {
    const known = new Set(this.#options.members.configuration.members.map((one) => one.replicaId));
    for (const { replicaId } of members) known.add(replicaId);
    const stranger = changes.find(({ replicaId }) => !known.has(replicaId));
    if (stranger === undefined) return;
    throw new FlotillaError(
      'INVALID_REQUEST',
      `Replica ${stranger.replicaId} is no member of the group, and the change does not say ` +
        `where it lives`,
    );
  }
}

function changeRefused(why: ProposalDropReason): FlotillaError {
  switch (why) {
    case 'conf-change-pending':
      return new FlotillaError('CHANGE_IN_PROGRESS', 'An earlier change is not through yet (M2)');
    case 'conf-change-invalid':
      return new FlotillaError('INVALID_REQUEST', 'The change does not fit the configuration (M9)');
    case 'uncommitted-limit':
      return new FlotillaError(
        'PROPOSAL_DROPPED',
        'The shard applies writes slower than they come',
      );
    case 'term-not-committed':
    case 'transferring':
    case 'not-in-configuration':
      return new FlotillaError('NO_LEADER', `The leader takes no change now: ${why}`);
    default:
      return unreachable(why);
  }
}
