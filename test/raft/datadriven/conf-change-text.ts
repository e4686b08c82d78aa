/** Configuration changes as the files write them: `v1 l2 r3 u4`. */

import type { ConfChange, ConfChangeKind, ConfChangeStep } from '../../../src/raft/types.js';
import { DirectiveError } from './directive-error.js';
import { parseWhole } from './node-options.js';

const KINDS: Readonly<Record<string, ConfChangeKind>> = {
  v: 'add-voter',
  l: 'add-learner',
  r: 'remove',
  u: 'update',
};

const TRANSITIONS: Readonly<Record<string, ConfChange['transition']>> = {
  auto: 'auto',
  implicit: 'joint-implicit',
  explicit: 'joint-explicit',
};

/** Throws a `DirectiveError` for a word that is no step. */
export function parseSteps(text: string): readonly ConfChangeStep[] {
  const words = text.split(/\s+/).filter((word) => word !== '');
  return words.map((word) => {
    const kind = KINDS[word[0] ?? ''];
    if (kind === undefined) throw new DirectiveError(`unknown step ${word}`);
    return { kind, replicaId: parseWhole(word.slice(1), 'a replica id') };
  });
}

/** The transition is `auto`, `implicit` or `explicit`. */
export function parseConfChange(steps: string, transition: string): ConfChange {
  const known = TRANSITIONS[transition];
  if (known === undefined) throw new DirectiveError(`unknown transition ${transition}`);
  return { transition: known, changes: parseSteps(steps), context: new Uint8Array() };
}
