/**
 * Carries out the directives of the quorum files: `committed` prints a table of what is
 * acknowledged and the committed index, `vote` the outcome of an election. Each answer is also
 * computed in the other ways that must agree; a line is added for every one that does not.
 */

import {
  committedIndex,
  jointCommittedIndex,
  jointVoteResult,
  type Majority,
  type VoteResult,
  voteResult,
} from '../../../src/raft/quorum.js';
import { DirectiveError } from './directive-error.js';
import { parseWhole } from './node-options.js';
import type { Directive } from './parser.js';

const VOTE_NAMES: Readonly<Record<VoteResult, string>> = {
  pending: 'VotePending',
  lost: 'VoteLost',
  won: 'VoteWon',
};

interface QuorumCase {
  readonly incoming: Majority;
  readonly outgoing: Majority;
  /** Whether the joint functions are meant; `outgoing` may be empty even then. */
  readonly isJoint: boolean;
  /** `idx=(..)` or `votes=(..)`; `_` stands for a voter of which nothing is known. */
  readonly values: ReadonlyMap<number, string>;
}

function readIds(values: readonly string[]): number[] {
  return values.map((value) => parseWhole(value, 'a voter id'));
}

function ascending(ids: readonly number[]): Majority {
  return [...ids].sort((a, b) => a - b);
}

function parseCase(directive: Directive, valuesKey: string): QuorumCase {
  const option = (key: string) => directive.arguments.find((each) => each.key === key)?.values;
  const incoming = readIds(option('cfg') ?? []);
  const outgoingValues = option('cfgj');
  const outgoing = outgoingValues?.[0] === 'zero' ? [] : readIds(outgoingValues ?? []);
  const voters = [...new Set([...incoming, ...outgoing])];
  const texts = option(valuesKey) ?? [];
  if (texts.length !== voters.length) {
    throw new DirectiveError(`${voters.length} voters, but ${texts.length} values in ${valuesKey}`);
  }
  const known = voters.map((voter, at): [number, string] => [voter, texts[at] ?? '_']);
  return {
    incoming: ascending(incoming),
    outgoing: ascending(outgoing),
    isJoint: outgoingValues !== undefined,
    values: new Map(known.filter(([, text]) => text !== '_')),
  };
}

/** Each voter with a bar that is as long as the number of voters that are behind it. */
function describeAcked(majority: Majority, acked: ReadonlyMap<number, number>): string {
  const count = majority.length;
  if (count === 0) {
    return '<empty majority quorum>';
  }
  const indexes = majority.map((id) => acked.get(id) ?? 0);
  const lines = majority.map((id) => {
    const index = acked.get(id);
    const behind = indexes.filter((other) => other < (index ?? 0)).length;
    const bar = index === undefined ? '?' : `${'x'.repeat(behind)}>`;
    return `${bar.padEnd(count + 1)} ${String(index ?? 0).padStart(5)}    (id=${id})\n`;
  });
  return `${' '.repeat(count)}    idx\n${lines.join('')}`;
}

function describeIndex(index: number): string {
  return index === Number.MAX_SAFE_INTEGER ? '∞' : String(index);
}

/** The other ways to the same index, each with the name of what it is reached by. */
function alternativeIndexes(
  { incoming, outgoing, isJoint }: QuorumCase,
  acked: ReadonlyMap<number, number>,
): [string, number][] {
  const of = (id: number) => acked.get(id);
  if (isJoint) {
    return [['symmetry', jointCommittedIndex({ incoming: outgoing, outgoing: incoming }, of)]];
  }
  const index = committedIndex(incoming, of);
  const lowered = incoming
    .filter((id) => index > (acked.get(id) ?? 0))
    .map((id): [string, number] => {
      const overlaid = new Map(acked).set(id, 0);
      return [`overlay of ${id}`, committedIndex(incoming, (each) => overlaid.get(each))];
    });
  return [
    ['zero-joint quorum', jointCommittedIndex({ incoming, outgoing: [] }, of)],
    ['self-joint quorum', jointCommittedIndex({ incoming, outgoing: incoming }, of)],
    ...lowered,
  ];
}

function committed(directive: Directive): string {
  const test = parseCase(directive, 'idx');
  const acked = new Map(
    [...test.values].map(([id, text]): [number, number] => [id, parseWhole(text, 'idx')]),
  );
  const joint = { incoming: test.incoming, outgoing: test.outgoing };
  const index = jointCommittedIndex(joint, (id) => acked.get(id));
  const voters = ascending([...new Set([...test.incoming, ...test.outgoing])]);
  const disagreeing = alternativeIndexes(test, acked)
    .filter(([, other]) => other !== index)
    .map(([way, other]) => `${describeIndex(other)} <-- via ${way}\n`);
  return `${describeAcked(voters, acked)}${disagreeing.join('')}${describeIndex(index)}\n`;
}

function parseVote(text: string): boolean {
  if (text !== 'y' && text !== 'n') {
    throw new DirectiveError(`a vote is y, n or _, not ${text}`);
  }
  return text === 'y';
}

function vote(directive: Directive): string {
  const { incoming, outgoing, isJoint, values } = parseCase(directive, 'votes');
  const votes = new Map([...values].map(([id, text]): [number, boolean] => [id, parseVote(text)]));
  const result = isJoint
    ? jointVoteResult({ incoming, outgoing }, votes)
    : voteResult(incoming, votes);
  const swapped = jointVoteResult({ incoming: outgoing, outgoing: incoming }, votes);
  const disagreeing = swapped === result ? '' : `${VOTE_NAMES[swapped]} <-- via symmetry\n`;
  return `${disagreeing}${VOTE_NAMES[result]}\n`;
}

/** Carries out one directive. Returns what it printed. */
export function handleQuorumDirective(directive: Directive): string {
  try {
    switch (directive.command) {
      case 'committed':
        return committed(directive);
      case 'vote':
        return vote(directive);
      default:
        throw new DirectiveError(`unknown command ${directive.command}`);
    }
  } catch (error) {
    if (error instanceof DirectiveError) {
      return error.message;
    }
    throw error;
  }
}
