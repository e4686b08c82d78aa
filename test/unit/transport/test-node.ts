/** Nodes for tests of the transport: a transport each, and what happened to it. */
import type { Entry, Message, MessageType } from '../../../src/raft/types.js';
import type { Network } from '../../../src/shared/environment.js';
import type { GiveUpSignal } from '../../../src/shared/give-up.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { createTransport } from '../../../src/transport/peer-transport.js';
import type { GroupMessage, PeerIdentity, Transport } from '../../../src/transport/transport.js';
import { realClock, realRandom, realScheduler } from './real-time.js';

type RequestHandler = (payload: Uint8Array, signal: GiveUpSignal) => Promise<Uint8Array>;

export function raftMessage(fields: Partial<Message> & { type: MessageType }): Message {
  return {
    to: 2,
    from: 1,
    term: 1,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    commitTerm: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    campaignTransfer: false,
    sentAtMs: 0,
    promiseMs: 0,
    ...fields,
  };
}

export const append = (index: number, sizeBytes = 10): GroupMessage => {
  const data = new Uint8Array(sizeBytes).fill(index % 251);
  const entries: Entry[] = [{ type: 'EntryNormal', term: 1, index, data }];
  return { groupId: 3, message: raftMessage({ type: 'MsgApp', index, entries }) };
};

export const heartbeat = (groupId: number): GroupMessage => ({
  groupId,
  message: raftMessage({ type: 'MsgHeartbeat', commit: groupId }),
});

export class TestNode {
  readonly identity: PeerIdentity;
  readonly messages: GroupMessage[] = [];
  readonly batches: number[] = [];
  readonly ups: PeerIdentity[] = [];
  readonly downs: number[] = [];
  readonly refused: string[] = [];
  answer: RequestHandler = async (payload) => payload;
  #transport: Transport | undefined;

  constructor(identity: PeerIdentity) {
    this.identity = identity;
  }

  get transport(): Transport {
    if (this.#transport === undefined) throw new Error('the node is not open');
    return this.#transport;
  }

  async open(network: Network, listenAddress: string): Promise<void> {
    this.#transport = await createTransport({
      environment: {
        clock: realClock,
        scheduler: realScheduler,
        random: realRandom,
        network,
      },
      listenAddress,
      logger: silentLogger,
      onControl: (payload) => this.answer(payload, new AbortController().signal),
      handlers: {
        onMessages: (_from, messages) => {
          this.batches.push(messages.length);
          this.messages.push(...messages);
        },
        onRequest: (_from, payload, signal) => this.answer(payload, signal),
        onPeerUp: (peer) => this.ups.push(peer),
        onPeerDown: (nodeId) => this.downs.push(nodeId),
        onPeerRefused: (nodeId, error) => this.refused.push(`${nodeId}: ${error.message}`),
      },
    });
  }

  connected(nodeId: number): boolean {
    return this.transport.peers().some((peer) => peer.nodeId === nodeId && peer.connected);
  }

  indexes(): number[] {
    return this.messages.map(({ message }) => message.index);
  }
}
