/**
 * Questions to a node that may not be part of a cluster yet, for bootstrap: a fresh link that
 * carries one control record and its answer, and no greeting.
 */
import type { Connection, Network, Scheduler } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { encodeFrame, type FrameRecord } from './frame.js';
import { RecordChannel } from './record-channel.js';

/** Control payloads are small: identities and the state that a cluster starts from. */
const CONTROL_BYTES_MAX = 8 * 1024 * 1024;

/** Throws LIMIT_EXCEEDED for a control payload, or an answer, of more than 8 MiB. */
export function checkControlSize(payload: Uint8Array): void {
  if (payload.length <= CONTROL_BYTES_MAX) return;
  const message = `a control payload has ${payload.length} bytes, at most ${CONTROL_BYTES_MAX}`;
  throw new FlotillaError('LIMIT_EXCEEDED', message);
}

export interface ControlEnvironment {
  readonly network: Network;
  readonly scheduler: Scheduler;
}

/**
 * Asks the node that listens at `address`. Rejects with NODE_NOT_READY (it was not reached),
 * DEADLINE_EXCEEDED, OUTCOME_UNKNOWN (the link broke after sending), or the error that the node
 * answered with.
 */
export async function controlRequest(
  environment: ControlEnvironment,
  address: string,
  payload: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  checkControlSize(payload);
  let connection: Connection;
  try {
    connection = await environment.network.dial(address, { timeoutMs });
  } catch (cause) {
    throw new FlotillaError('NODE_NOT_READY', toFlotillaError(cause).message, { cause });
  }
  return new Promise((resolve, reject) => {
    const channel = new RecordChannel(connection, {
      onRecord: (record) => settle(() => settleWith(record, resolve, reject)),
      onDrain: () => undefined,
      onClose: (cause) => settle(() => reject(linkBroke(address, cause))),
    });
    const timer = environment.scheduler.after(timeoutMs, () =>
      settle(() => reject(tooLate(address, timeoutMs))),
    );
    // Settling a promise again does nothing: what comes first wins.
    const settle = (act: () => void): void => {
      timer.cancel();
      act();
      channel.close();
    };
    channel.send(encodeFrame([{ kind: 'control', payload }]));
  });
}

function settleWith(
  record: FrameRecord,
  resolve: (payload: Uint8Array) => void,
  reject: (error: Error) => void,
): void {
  if (record.kind === 'controlAnswer') resolve(record.payload);
  else if (record.kind === 'failure') reject(FlotillaError.fromBody(record.error));
  else reject(new FlotillaError('INTERNAL', `a ${record.kind} record answered a control request`));
}

function linkBroke(address: string, cause: Error | undefined): FlotillaError {
  return new FlotillaError('OUTCOME_UNKNOWN', `the link to ${address} broke`, { cause });
}

function tooLate(address: string, timeoutMs: number): FlotillaError {
  return new FlotillaError('DEADLINE_EXCEEDED', `${address} did not answer in ${timeoutMs} ms`);
}
