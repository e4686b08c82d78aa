import {
  type ConfChange,
  type ConfChangeKind,
  type ConfChangeStep,
  FatalRaftError,
  type ReplicaId,
} from './types.js';

/**
 * Configuration changes as the data of log entries:
 *
 *     u8 version, u8 transition, u32 number of steps, steps of (u8 kind, u64 replica id), context
 *
 * Numbers are big endian; codes are never used again. A change that says nothing but "leave the
 * joint configuration" is no bytes at all, so that it is as free as a no-op (A4).
 */

const VERSION = 1;
const HEAD_BYTES = 6;
const STEP_BYTES = 9;
const TRANSITIONS: readonly ConfChange['transition'][] = [
  'auto',
  'joint-implicit',
  'joint-explicit',
];
const KINDS: readonly ConfChangeKind[] = ['add-voter', 'add-learner', 'remove', 'update'];

export const LEAVE_JOINT: ConfChange = {
  transition: 'auto',
  changes: [],
  context: new Uint8Array(),
};

export function encodeConfChange(change: ConfChange): Uint8Array {
  const { transition, changes, context } = change;
  if (changes.length === 0 && context.length === 0) return new Uint8Array();
  const bytes = new Uint8Array(HEAD_BYTES + STEP_BYTES * changes.length + context.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, TRANSITIONS.indexOf(transition));
  view.setUint32(2, changes.length);
  let at = HEAD_BYTES;
  for (const { kind, replicaId } of changes) {
    view.setUint8(at, KINDS.indexOf(kind));
    view.setBigUint64(at + 1, BigInt(replicaId));
    at += STEP_BYTES;
  }
  bytes.set(context, at);
  return bytes;
}

/** `context` is a view. Throws a `FatalRaftError` for what `encodeConfChange` never wrote. */
export function decodeConfChange(data: Uint8Array): ConfChange {
  if (data.length === 0) return LEAVE_JOINT;
  requireThat(data.length >= HEAD_BYTES, 'is cut off');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  requireThat(view.getUint8(0) === VERSION, `has version ${view.getUint8(0)}, not ${VERSION}`);
  const transition = TRANSITIONS[view.getUint8(1)];
  if (transition === undefined) throw malformed(`has transition ${view.getUint8(1)}`);
  const count = view.getUint32(2);
  const contextAt = HEAD_BYTES + STEP_BYTES * count;
  requireThat(contextAt <= data.length, `is cut off: ${count} steps do not fit`);
  const changes: ConfChangeStep[] = [];
  for (let at = HEAD_BYTES; at < contextAt; at += STEP_BYTES) {
    const kind = KINDS[view.getUint8(at)];
    if (kind === undefined) throw malformed(`has a step of kind ${view.getUint8(at)}`);
    changes.push({ kind, replicaId: readReplicaId(view, at + 1) });
  }
  return { transition, changes, context: data.subarray(contextAt) };
}

function readReplicaId(view: DataView, at: number): ReplicaId {
  const replicaId = Number(view.getBigUint64(at));
  requireThat(Number.isSafeInteger(replicaId), `names replica ${replicaId}`);
  return replicaId;
}

function requireThat(condition: boolean, problem: string): void {
  if (!condition) throw malformed(problem);
}

function malformed(problem: string): FatalRaftError {
  return new FatalRaftError(`a configuration change of the log ${problem}`);
}
