/** Who may talk to whom: the checks that both sides make before anything else is sent. */
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { encodeFrame, type Hello } from './frame.js';
import type { RecordChannel } from './record-channel.js';
import type { PeerAddress, PeerIdentity } from './transport.js';

/** What this node speaks. Nodes of the version before and of the version after understand it. */
export const PROTOCOL_VERSION = 1;
export const PROTOCOL_VERSION_MIN = 1;

export function makeHello(self: PeerIdentity, expected: PeerAddress, wallMs: number): Hello {
  return {
    identity: self,
    expectedNodeId: expected.nodeId,
    expectedStoreId: expected.storeId,
    protocolVersion: PROTOCOL_VERSION,
    protocolVersionMin: PROTOCOL_VERSION_MIN,
    wallMs,
  };
}

/**
 * Why a greeting is not acceptable, or `undefined` where it is: UNSUPPORTED_VERSION,
 * WRONG_CLUSTER, WRONG_STORE (either side is not who the other takes it for), NODE_NOT_READY (a
 * node that this one does not know yet). `peer` is what this node knows of the sender.
 */
export function checkHello(
  hello: Hello,
  self: PeerIdentity,
  peer: PeerAddress | undefined,
): FlotillaError | undefined {
  const { identity } = hello;
  if (hello.protocolVersion < PROTOCOL_VERSION_MIN || hello.protocolVersionMin > PROTOCOL_VERSION) {
    return new FlotillaError(
      'UNSUPPORTED_VERSION',
      `node ${identity.nodeId} speaks protocol ${hello.protocolVersionMin} to ` +
        `${hello.protocolVersion}, node ${self.nodeId} speaks ${PROTOCOL_VERSION_MIN} to ` +
        `${PROTOCOL_VERSION}`,
    );
  }
  if (identity.clusterId !== self.clusterId) {
    return new FlotillaError(
      'WRONG_CLUSTER',
      `node ${identity.nodeId} belongs to cluster ${identity.clusterId}, ` +
        `node ${self.nodeId} to ${self.clusterId}`,
    );
  }
  if (hello.expectedNodeId !== self.nodeId || hello.expectedStoreId !== self.storeId) {
    return new FlotillaError(
      'WRONG_STORE',
      `node ${identity.nodeId} wants node ${hello.expectedNodeId} with store ` +
        `${hello.expectedStoreId} and reached node ${self.nodeId} with store ${self.storeId}`,
    );
  }
  if (peer === undefined) {
    return new FlotillaError(
      'NODE_NOT_READY',
      `node ${self.nodeId} does not know node ${identity.nodeId} yet`,
    );
  }
  if (identity.nodeId === peer.nodeId && identity.storeId === peer.storeId) return undefined;
  return new FlotillaError(
    'WRONG_STORE',
    `node ${peer.nodeId} is known with store ${peer.storeId}; node ${identity.nodeId} with store ` +
      `${identity.storeId} answered`,
  );
}

/** How long a refused side gets to read why before the link closes. */
const REFUSAL_GRACE_MS = 500;

/** Tells the other side why its link is not wanted, then closes it. */
export function refuse(scheduler: Scheduler, channel: RecordChannel, error: FlotillaError): void {
  channel.send(encodeFrame([{ kind: 'refuse', error: error.body }]));
  const timer = scheduler.after(REFUSAL_GRACE_MS, () => channel.close());
  channel.handOver({
    onRecord: () => undefined,
    onDrain: () => undefined,
    onClose: () => timer.cancel(),
  });
}
