/**
 * Goal: routers whose table is old, on nodes that are well otherwise. Method: what the topology's
 * group sends to the node in the way of entries and snapshots is lost; heartbeats, and all other
 * groups, go on, so that nobody looks for news elsewhere.
 */
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { decodeFrame, encodeFrame, type FrameRecord } from '../../../src/transport/frame.js';
import type { GroupMessage } from '../../../src/transport/transport.js';

export class StaleTopology {
  /** One at a time: without two of three the topology would not change at all. */
  #host: string | undefined;
  /** Messages that were kept from somebody. */
  withheld = 0;

  /** The host hears nothing new, and the one before it does again. */
  begin(host: string): void {
    this.#host = host;
  }

  end(): void {
    this.#host = undefined;
  }

  /** What is left of a frame on its way to a host; undefined where nothing is. */
  filter(toHost: string, frame: Uint8Array): Uint8Array | undefined {
    if (this.#host !== toHost) return frame;
    const records = decodeFrame(frame);
    const left = records.flatMap((record) => this.#withoutNews(record));
    const isSame = left.length === records.length && left.every((one, at) => one === records[at]);
    if (isSame) return frame;
    return left.length === 0 ? undefined : encodeFrame(left);
  }

  /** The same record where there is no news in it. */
  #withoutNews(record: FrameRecord): FrameRecord[] {
    if (record.kind !== 'raft') return [record];
    const messages = record.messages.filter((message) => !isNews(message));
    if (messages.length === record.messages.length) return [record];
    this.withheld += record.messages.length - messages.length;
    return messages.length === 0 ? [] : [{ ...record, messages }];
  }
}

function isNews({ groupId, message }: GroupMessage): boolean {
  const brings = message.type === 'MsgApp' || message.type === 'MsgSnap';
  return groupId === TOPOLOGY_GROUP_ID && brings;
}
