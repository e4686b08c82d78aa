/**
 * What operators and the topology's leader ask of a Raft group, on whichever node its leader is:
 * its state, another configuration, another leader. Rare and small, so that it travels as JSON.
 */
import type { ConfChangeStep } from '../raft/types.js';
import type { GroupStatus } from '../replica/group.js';
import { assert } from '../shared/assert.js';
import { MalformedBytesError, utf8 } from '../shared/bytes.js';
import { SERVICE } from '../shared/codec/services.js';
import type { Deadline } from '../shared/deadline.js';
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { GroupConfiguration, GroupMember } from '../storage/log-store.js';
import type {
  DurableVoters,
  GroupControl,
  GroupState,
  Reconfiguration,
} from '../topology/group-control.js';
import { type ReplicaGroup, replicaGroup } from '../topology/replica-group.js';
import type { TopologyView } from '../topology/view.js';
import type { Transport } from '../transport/transport.js';

/** The part of a Raft group of this node that is used here. */
export interface ControlledGroup {
  readonly isLeader: boolean;
  /** 0 for none. */
  readonly leaderNodeId: number;
  readonly replicaId: number;
  readonly configuration: GroupConfiguration;
  readonly durableConfiguration: GroupConfiguration;
  status(): Pick<GroupStatus, 'lastIndex' | 'progress' | 'sending'>;
  changeConfiguration(
    change: { readonly changes: ConfChangeStep[]; readonly members: GroupMember[] },
    deadline: Deadline,
  ): Promise<unknown>;
  transferLeadership(toReplicaId: number | undefined, deadline: Deadline): Promise<void>;
  forceElection(deadline: Deadline): Promise<void>;
  stepDown(deadline: Deadline): Promise<void>;
}

export interface GroupCallsOptions {
  readonly nodeId: number;
  readonly view: TopologyView;
  readonly transport: Pick<Transport, 'request'>;
  readonly environment: Environment;
  /** The group's replica on this node, where there is one that runs. */
  readonly groupOf: (groupId: number) => ControlledGroup | undefined;
}

type GroupCall =
  | { readonly kind: 'state' }
  | { readonly kind: 'reconfigure'; readonly change: Reconfiguration }
  | { readonly kind: 'transfer'; readonly toReplicaId: number | null }
  | { readonly kind: 'stepDown' }
  /** For any replica: it shall seek the leadership. */
  | { readonly kind: 'elect' }
  /** For any replica: which voters it has synced. */
  | { readonly kind: 'durableVoters' };

interface Envelope {
  readonly groupId: number;
  readonly timeoutMs: number;
  readonly call: GroupCall;
}

const FORMAT = 1;
const CALL_KINDS: readonly GroupCall['kind'][] = [
  'state',
  'reconfigure',
  'transfer',
  'stepDown',
  'elect',
  'durableVoters',
];
/** Not drawn (D2): only operators and the one driver of a group ask so, who make no crowd. */
const RETRY_DELAY_MS = 100;
/** A node that is silent must not use up what the others could be asked in. */
const ATTEMPT_TIMEOUT_MAX_MS = 5_000;
/** What all replicas are asked for at once is not held up for longer by one that is silent. */
const SURVEY_TIMEOUT_MAX_MS = 1_000;

export class GroupCalls implements GroupControl {
  readonly #options: GroupCallsOptions;

  constructor(options: GroupCallsOptions) {
    this.#options = options;
  }

  async state(groupId: number, deadline: Deadline): Promise<GroupState> {
    return (await this.#atLeader(groupId, { kind: 'state' }, deadline)) as GroupState;
  }

  async durableVoters(groupId: number, deadline: Deadline): Promise<readonly DurableVoters[]> {
    const timeoutMs = Math.min(deadline.timeoutMs, SURVEY_TIMEOUT_MAX_MS);
    const call: GroupCall = { kind: 'durableVoters' };
    const answers = await Promise.allSettled(
      nodesOf(this.#group(groupId)).map((nodeId) =>
        this.#ask(nodeId, { groupId, timeoutMs, call }),
      ),
    );
    return answers.flatMap((answer) =>
      answer.status === 'fulfilled' ? [answer.value as DurableVoters] : [],
    );
  }

  async reconfigure(groupId: number, change: Reconfiguration, deadline: Deadline): Promise<void> {
    await this.#atLeader(groupId, { kind: 'reconfigure', change }, deadline);
  }

  async transfer(
    groupId: number,
    toReplicaId: number | undefined,
    deadline: Deadline,
  ): Promise<void> {
    const call: GroupCall = { kind: 'transfer', toReplicaId: toReplicaId ?? null };
    await this.#atLeader(groupId, call, deadline);
  }

  /** The leader gives its office up; the others elect one. */
  async stepDown(groupId: number, deadline: Deadline): Promise<void> {
    await this.#atLeader(groupId, { kind: 'stepDown' }, deadline);
  }

  /** The replica on `nodeId` seeks the leadership, by a transfer or by an orderly election. */
  async elect(groupId: number, nodeId: number, deadline: Deadline): Promise<void> {
    await this.#ask(nodeId, { groupId, timeoutMs: deadline.timeoutMs, call: { kind: 'elect' } });
  }

  /** Answers a call of another node. Rejects with NOT_LEADER, naming the leader where known. */
  async serve(payload: Uint8Array): Promise<Uint8Array> {
    return utf8(JSON.stringify((await this.#carryOut(decodeEnvelope(payload))) ?? null));
  }

  /** Goes from replica to replica, after the hints that they give, until one that leads answers. */
  async #atLeader(groupId: number, call: GroupCall, deadline: Deadline): Promise<unknown> {
    const { clock, scheduler } = this.#options.environment;
    const endMs = clock.monotonicMs() + deadline.timeoutMs;
    let hint = this.#options.groupOf(groupId)?.leaderNodeId ?? 0;
    let lastError: FlotillaError | undefined;
    for (let turn = 0; ; turn++) {
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0 || deadline.signal?.aborted === true) break;
      const nodeIds = nodesOf(this.#group(groupId));
      const nodeId = hint > 0 ? hint : (nodeIds[turn % nodeIds.length] ?? 0);
      const timeoutMs = Math.min(leftMs, ATTEMPT_TIMEOUT_MAX_MS);
      try {
        return await this.#ask(nodeId, { groupId, timeoutMs, call });
      } catch (thrown) {
        lastError = toFlotillaError(thrown);
        if (!lastError.retryable) throw lastError;
      }
      const named = Number(lastError.body.details?.leaderNodeId ?? 0);
      hint = named === nodeId ? 0 : named;
      await sleep(scheduler, RETRY_DELAY_MS, deadline.signal);
    }
    throw lastError ?? new FlotillaError('DEADLINE_EXCEEDED', 'No time was left for the group');
  }

  async #ask(nodeId: number, envelope: Envelope): Promise<unknown> {
    if (nodeId === this.#options.nodeId) return this.#carryOut(envelope);
    const json = utf8(JSON.stringify(envelope));
    const payload = new Uint8Array(2 + json.length);
    payload.set([SERVICE.membership, FORMAT]);
    payload.set(json, 2);
    const { timeoutMs } = envelope;
    const answer = await this.#options.transport.request(nodeId, payload, { timeoutMs });
    return parseJson(answer);
  }

  async #carryOut({ groupId, timeoutMs, call }: Envelope): Promise<unknown> {
    const { nodeId } = this.#options;
    const group = this.#options.groupOf(groupId);
    if (group === undefined) {
      const message = `Node ${nodeId} has no replica of group ${groupId} that runs`;
      throw new FlotillaError('NO_LEADER', message);
    }
    if (call.kind === 'elect') return group.forceElection({ timeoutMs });
    if (call.kind === 'durableVoters') return durableVotersOf(group);
    if (!group.isLeader) throw notLeader(groupId, nodeId, group.leaderNodeId);
    switch (call.kind) {
      case 'state':
        return stateOf(group);
      case 'reconfigure':
        return reconfigureHere(group, call.change, { timeoutMs });
      case 'transfer':
        return group.transferLeadership(call.toReplicaId ?? undefined, { timeoutMs });
      case 'stepDown':
        return group.stepDown({ timeoutMs });
    }
  }

  #group(groupId: number): ReplicaGroup {
    const document = this.#options.view.current();
    const group = document && replicaGroup(document, groupId);
    if (group !== undefined) return group;
    throw new FlotillaError('SHARD_NOT_FOUND', `There is no group ${groupId}`);
  }
}

function nodesOf({ replicas, change }: ReplicaGroup): number[] {
  const added = change?.add === undefined ? [] : [change.add];
  return [...new Set([...replicas, ...added].map(({ nodeId }) => nodeId))];
}

function durableVotersOf({ replicaId, durableConfiguration }: ControlledGroup): DurableVoters {
  const { index, confState } = durableConfiguration;
  return { replicaId, index, voters: confState.voters, outgoingVoters: confState.votersOutgoing };
}

function stateOf(group: ControlledGroup): GroupState {
  const { index, confState } = group.configuration;
  const { lastIndex, progress, sending } = group.status();
  return {
    configurationIndex: index,
    leaderReplicaId: group.replicaId,
    voters: confState.voters,
    outgoingVoters: confState.votersOutgoing,
    learners: [...confState.learners, ...confState.learnersNext],
    lastIndex,
    followers: progress
      .filter(({ id }) => id !== group.replicaId)
      .map(({ id, match, recentActive, state }) => {
        const snapshot = sending.get(id);
        return {
          replicaId: id,
          matchIndex: match,
          isActive: recentActive,
          isReplicating: state === 'StateReplicate',
          ...(snapshot !== undefined && { snapshot }),
        };
      }),
  };
}

/** Nothing may come between the comparison and the proposal that `changeConfiguration` makes. */
async function reconfigureHere(
  group: ControlledGroup,
  change: Reconfiguration,
  deadline: Deadline,
): Promise<void> {
  const { index } = group.configuration;
  if (index !== change.expectedIndex) {
    throw new FlotillaError(
      'CHANGE_IN_PROGRESS',
      `The configuration is that of entry ${index}, the change was made for ` +
        `that of entry ${change.expectedIndex}`,
    );
  }
  const { steps, members } = change;
  await group.changeConfiguration({ changes: [...steps], members: [...members] }, deadline);
}

function notLeader(groupId: number, nodeId: number, leaderNodeId: number): FlotillaError {
  if (leaderNodeId === 0 || leaderNodeId === nodeId) {
    return new FlotillaError(
      'NO_LEADER',
      `Group ${groupId} has no leader that node ${nodeId} knows`,
    );
  }
  return new FlotillaError('NOT_LEADER', `Node ${leaderNodeId} leads group ${groupId}`, {
    details: { leaderNodeId: String(leaderNodeId) },
  });
}

function decodeEnvelope(payload: Uint8Array): Envelope {
  assert(payload[0] === SERVICE.membership, 'a call for another service');
  if (payload[1] !== FORMAT) throw new MalformedBytesError(`group call of format ${payload[1]}`);
  const envelope = parseJson(payload.subarray(2)) as Envelope;
  const isSound =
    Number.isSafeInteger(envelope?.groupId) &&
    Number.isFinite(envelope.timeoutMs) &&
    CALL_KINDS.includes(envelope.call?.kind);
  if (!isSound) throw new MalformedBytesError('a group call of an unknown kind');
  return envelope;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new MalformedBytesError('a group call is not JSON', { cause });
  }
}
