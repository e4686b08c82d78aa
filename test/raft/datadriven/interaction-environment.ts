/**
 * Carries out the directives of an interaction file: a list of replicas (the n-th has id n), one
 * queue of messages for all of them, and nothing that moves unless a directive says so.
 *
 * Same directives, same order of work and same output as etcd's environment; those
 * for reads, crashes, restarts and clocks are ours (../interaction/README.md).
 */

import {
  describeMessage,
  describeProgressTable,
  describeStatus,
} from '../../../src/raft/describe.js';
import { createMessage } from '../../../src/raft/message.js';
import { type Message, NONE, type ProposeResult, type ReplicaId } from '../../../src/raft/types.js';
import { parseConfChange } from './conf-change-text.js';
import { DirectiveError } from './directive-error.js';
import { asEtcdMessage } from './etcd-message.js';
import { parseFlag, parseNodeOptions, parseWhole } from './node-options.js';
import { parseLogLevel, ReplayOutput } from './output.js';
import type { Directive } from './parser.js';
import { isLocalMessage, ReplayNode } from './replay-node.js';

/** Whose messages a directive handles, and how. */
interface Recipient {
  readonly id: ReplicaId;
  readonly drop: boolean;
}

/** The words of a directive that carry no value, as replica ids. */
function wordIds(directive: Directive): readonly ReplicaId[] {
  return directive.arguments
    .filter((argument) => argument.values.length === 0)
    .map((argument) => parseWhole(argument.key, 'a replica id'));
}

function option(directive: Directive, key: string): readonly string[] | undefined {
  return directive.arguments.find((argument) => argument.key === key)?.values;
}

/** The n-th word as a number. */
function wordNumber(directive: Directive, at: number, what: string): number {
  return parseWhole(directive.arguments[at]?.key, what);
}

/** Replicas that are still busy after so many rounds are not going to settle. */
const STABILIZE_ROUNDS_MAX = 10_000;

/** etcd's words for what a step may answer. */
const STEP_ERRORS = {
  'peer-not-found': 'raft: cannot step as peer not found',
  dropped: 'raft proposal dropped',
} as const;

/** One thing that a replica can do, and the words for it in the output. */
interface NodeWork {
  readonly doing: string;
  readonly run: (node: ReplayNode) => void;
}

type DirectiveHandler = (directive: Directive) => void;
type NodeHandler = (node: ReplayNode, directive: Directive) => void;

function tick(node: ReplayNode, ticks: number): void {
  for (let done = 0; done < ticks; done++) {
    node.core.tick();
  }
}

function reportUnreachable(node: ReplayNode, directive: Directive): void {
  node.core.reportUnreachable(wordNumber(directive, 1, 'a replica id'));
}

function setElectionTimeout(node: ReplayNode, directive: Directive): void {
  node.core.setRandomizedElectionTicks(parseWhole(option(directive, 'timeout')?.[0], 'timeout'));
}

function setClock(node: ReplayNode, directive: Directive): void {
  node.nowMs = wordNumber(directive, 1, 'the milliseconds');
}

export class InteractionEnvironment {
  readonly #nodes: ReplayNode[] = [];
  readonly #output = new ReplayOutput();
  #messages: Message[] = [];

  readonly #directives: ReadonlyMap<string, DirectiveHandler> = new Map<string, DirectiveHandler>([
    ['add-nodes', (directive) => this.#addNodes(directive)],
    ['deliver-msgs', (directive) => this.#deliverMessagesDirective(directive)],
    ['log-level', (directive) => this.#setLogLevel(directive.arguments[0]?.key)],
    ['process-append-thread', (directive) => this.#forEachNode(directive, this.#appendThread)],
    ['process-apply-thread', (directive) => this.#forEachNode(directive, this.#applyThread)],
    ['process-ready', (directive) => this.#forEachNode(directive, this.#ready)],
    ['raft-state', () => this.#printStates()],
    ['stabilize', (directive) => this.#stabilizeDirective(directive)],
    ['transfer-leadership', (directive) => this.#transferLeadership(directive)],
  ]);

  /** Those whose first word is the replica that they are for. */
  readonly #nodeDirectives: ReadonlyMap<string, NodeHandler> = new Map<string, NodeHandler>([
    ['campaign', (node) => node.core.campaign()],
    ['compact', (node, directive) => this.#compact(node, wordNumber(directive, 1, 'the index'))],
    ['crash', (node, directive) => this.#crash(node, directive)],
    ['forget-leader', (node) => node.core.forgetLeader()],
    ['lease-index', (node) => this.#output.write(String(node.core.leaseIndex() ?? 'no lease'))],
    ['propose', (node, directive) => this.#propose(node, directive.arguments[1]?.key ?? '')],
    ['propose-conf-change', (node, directive) => this.#proposeConfChange(node, directive)],
    ['raft-log', (node) => node.printLog(this.#output)],
    ['read-index', (node, directive) => this.#readIndex(node, directive)],
    ['report-unreachable', (node, directive) => reportUnreachable(node, directive)],
    ['restart', (node) => node.restart(this.#output)],
    ['send-snapshot', (node, directive) => this.#sendSnapshot(node, directive)],
    ['set-clock', (node, directive) => setClock(node, directive)],
    ['set-randomized-election-timeout', (node, directive) => setElectionTimeout(node, directive)],
    ['step-down', (node) => node.core.stepDown()],
    ['suspect-leader', (node) => node.core.suspectLeader()],
    ['status', (node) => this.#output.write(describeProgressTable(node.core.status()))],
    ['tick-election', (node) => tick(node, node.config.electionTicks)],
    ['tick-heartbeat', (node) => tick(node, node.config.heartbeatTicks)],
  ]);

  readonly #ready: NodeWork = {
    doing: 'handling Ready',
    run: (node) => this.#messages.push(...node.processReady(this.#output)),
  };

  readonly #appendThread: NodeWork = {
    doing: 'processing append thread',
    run: (node) => this.#messages.push(...node.processAppendThread(this.#output)),
  };

  readonly #applyThread: NodeWork = {
    doing: 'processing apply thread',
    run: (node) => this.#messages.push(...node.processApplyThread(this.#output)),
  };

  /** Carries out one directive. Returns what it printed, `ok` for nothing. */
  handle(directive: Directive): string {
    let failure = '';
    try {
      this.#dispatch(directive);
    } catch (error) {
      failure = error instanceof DirectiveError ? error.message : `panic: ${String(error)}`;
    }
    const text = this.#output.take() + failure;
    return text === '' ? 'ok' : text;
  }

  #dispatch(directive: Directive): void {
    const handler = this.#directives.get(directive.command);
    if (handler !== undefined) {
      handler(directive);
      return;
    }
    const nodeHandler = this.#nodeDirectives.get(directive.command);
    if (nodeHandler === undefined) {
      throw new DirectiveError(`unknown command ${directive.command}`);
    }
    nodeHandler(this.#node(wordNumber(directive, 0, 'a replica id')), directive);
  }

  #node(id: ReplicaId): ReplayNode {
    const node = this.#nodes[id - 1];
    if (node === undefined) {
      throw new DirectiveError(`there is no replica ${id}`);
    }
    return node;
  }

  #addNodes(directive: Directive): void {
    const count = wordNumber(directive, 0, 'the number of replicas');
    const { config, snapshot } = parseNodeOptions(directive.arguments.slice(1));
    for (let added = 0; added < count; added++) {
      this.#nodes.push(new ReplayNode(this.#nodes.length + 1, config, snapshot));
    }
  }

  #propose(node: ReplayNode, text: string): void {
    this.#printProposed(node, node.core.propose(Buffer.from(text)));
  }

  #proposeConfChange(node: ReplayNode, directive: Directive): void {
    const isV1 = parseFlag(option(directive, 'v1')?.[0] ?? 'false', 'v1');
    const change = parseConfChange(directive.input, option(directive, 'transition')?.[0] ?? 'auto');
    const type = isV1 ? 'EntryConfChange' : 'EntryConfChangeV2';
    this.#printProposed(node, node.core.proposeConfChange(change, type));
  }

  /** What a follower handed on to its leader shows as a message, as in etcd. */
  #printProposed(node: ReplayNode, result: ProposeResult): void {
    const isForwarded = result.kind === 'not-leader' && result.lead !== NONE;
    if (result.kind === 'accepted' || (isForwarded && node.config.forwardProposals)) {
      return;
    }
    const why = result.kind === 'dropped' && result.why;
    const isOurs = node.config.confChangeValidation === 'refuse' && why;
    this.#output.write(`raft proposal dropped${isOurs ? `: ${why}` : ''}`);
  }

  #transferLeadership(directive: Directive): void {
    const id = (key: string) => parseWhole(option(directive, key)?.[0], key);
    if (this.#node(id('from')).core.transferLeader(id('to')) === 'refused') {
      this.#output.write('transfer refused');
    }
  }

  #readIndex(node: ReplayNode, directive: Directive): void {
    if (node.core.readIndex(wordNumber(directive, 1, 'the request id')) === 'rejected') {
      this.#output.write('read rejected');
    }
  }

  #compact(node: ReplayNode, index: number): void {
    node.compact(index);
    node.printLog(this.#output);
  }

  #sendSnapshot(node: ReplayNode, directive: Directive): void {
    const to = wordNumber(directive, 1, 'a replica id');
    const { term } = node.core.status().hardState;
    const { snapshot } = node;
    const message = createMessage('MsgSnap', node.id, to, term, { snapshot });
    this.#messages.push(message);
    this.#output.writeLine(describeMessage(message));
  }

  /** What a replica has sent to itself or its storage dies with it; the network keeps the rest. */
  #crash(node: ReplayNode, directive: Directive): void {
    const keepWrites = parseWhole(option(directive, 'keep')?.[0] ?? '0', 'keep');
    const { kept, lost } = node.crash(keepWrites);
    this.#messages = this.#messages.filter(
      (message) => message.to !== node.id || !isLocalMessage(message),
    );
    this.#output.writeLine(`pending writes: ${kept} kept, ${lost} lost`);
  }

  #setLogLevel(name: string | undefined): void {
    const level = parseLogLevel(name ?? '');
    if (level === undefined) {
      throw new DirectiveError(`there is no log level ${name}`);
    }
    this.#output.level = level;
  }

  #printStates(): void {
    for (const node of this.#nodes) {
      const text = node.isDown ? `${node.id}: down` : describeStatus(node.core.status());
      this.#output.writeLine(text);
    }
  }

  /** Does the same for each of the named replicas; with several, each under a heading. */
  #forEachNode(directive: Directive, work: NodeWork): void {
    const nodes = wordIds(directive).map((id) => this.#node(id));
    for (const node of nodes) {
      if (nodes.length === 1) {
        work.run(node);
      } else {
        this.#underHeading(node, work.doing, () => work.run(node));
      }
    }
  }

  #underHeading(node: ReplayNode, doing: string, body: () => void): void {
    this.#output.writeLine(`> ${node.id} ${doing}`);
    this.#output.indented(body);
  }

  #deliverMessagesDirective(directive: Directive): void {
    const deliver = wordIds(directive).map((id) => ({ id, drop: false }));
    const dropIds = option(directive, 'drop') ?? [];
    const drop = dropIds.map((id) => ({ id: parseWhole(id, 'drop'), drop: true }));
    const both = drop.find((each) => deliver.some((other) => other.id === each.id));
    if (both !== undefined) {
      throw new DirectiveError(`can't both deliver and drop msgs to ${both.id}`);
    }
    const handled = this.#deliverMessages([...deliver, ...drop], option(directive, 'type')?.[0]);
    if (handled === 0) {
      this.#output.writeLine('no messages');
    }
  }

  /** Takes the messages for the recipients out of the queue, in order. Returns their number. */
  #deliverMessages(recipients: readonly Recipient[], type?: string): number {
    let handled = 0;
    for (const { id, drop } of recipients) {
      const mine = (message: Message) =>
        message.to === id &&
        (type === undefined || message.type === type) &&
        !(drop && isLocalMessage(message));
      const messages = this.#messages.filter(mine);
      this.#messages = this.#messages.filter((message) => !mine(message));
      handled += messages.length;
      for (const message of messages) {
        this.#deliver(message, drop);
      }
    }
    return handled;
  }

  #deliver(message: Message, drop: boolean): void {
    const isLost = drop || this.#node(message.to).isDown;
    const text = describeMessage(asEtcdMessage(message));
    this.#output.writeLine(`${isLost ? 'dropped: ' : ''}${text}`);
    if (isLost) {
      return;
    }
    const result = this.#node(message.to).core.step(message);
    if (result !== 'ok') {
      this.#output.writeLine(STEP_ERRORS[result]);
    }
  }

  #stabilizeDirective(directive: Directive): void {
    const ids = wordIds(directive);
    const nodes = ids.length === 0 ? this.#nodes : ids.map((id) => this.#node(id));
    const levelBefore = this.#output.level;
    const level = option(directive, 'log-level')?.[0];
    if (level !== undefined) {
      this.#setLogLevel(level);
    }
    try {
      let rounds = 0;
      while (this.#stabilizeOnce(nodes)) {
        rounds++;
        if (rounds === STABILIZE_ROUNDS_MAX) {
          throw new DirectiveError(`still not stable after ${rounds} rounds`);
        }
      }
    } finally {
      this.#output.level = levelBefore;
    }
  }

  /** One round of everything that can be done, in a fixed order. False when nothing was left. */
  #stabilizeOnce(nodes: readonly ReplayNode[]): boolean {
    let moved = false;
    for (const node of nodes.filter((each) => each.hasReady)) {
      this.#underHeading(node, this.#ready.doing, () => this.#ready.run(node));
      moved = true;
    }
    for (const node of nodes) {
      if (this.#messages.some((message) => message.to === node.id)) {
        this.#underHeading(node, 'receiving messages', () => {
          this.#deliverMessages([{ id: node.id, drop: false }]);
        });
        moved = true;
      }
    }
    const appended = this.#drain(nodes, this.#appendThread, (node) => node.hasAppendWork);
    const applied = this.#drain(nodes, this.#applyThread, (node) => node.hasApplyWork);
    return moved || appended || applied;
  }

  /** Lets each replica work until nothing is left for it. False when nobody had anything to do. */
  #drain(
    nodes: readonly ReplayNode[],
    work: NodeWork,
    hasWork: (node: ReplayNode) => boolean,
  ): boolean {
    const busy = nodes.filter(hasWork);
    for (const node of busy) {
      this.#underHeading(node, work.doing, () => {
        while (hasWork(node)) {
          work.run(node);
        }
      });
    }
    return busy.length > 0;
  }
}
