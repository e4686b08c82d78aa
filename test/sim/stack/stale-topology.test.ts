// Goal: a node is kept from news of the topology, and from nothing else.
// Method: frames as links send them, through the filter.
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import type { MessageType } from '../../../src/raft/types.js';
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { decodeFrame, encodeFrame, type FrameRecord } from '../../../src/transport/frame.js';
import { StaleTopology } from './stale-topology.js';

const HOST = 'node-1';
const SHARD_GROUP_ID = TOPOLOGY_GROUP_ID + 1;

function raft(...sent: (readonly [groupId: number, type: MessageType])[]): FrameRecord {
  const messages = sent.map(([groupId, type]) => {
    return { groupId, message: createMessage(type, 1, 2, 3) };
  });
  return { kind: 'raft', messages };
}

function typesIn(frame: Uint8Array | undefined): string[] {
  return decodeFrame(frame ?? new Uint8Array()).flatMap((record) =>
    record.kind === 'raft'
      ? record.messages.map((one) => `${one.groupId} ${one.message.type}`)
      : [record.kind],
  );
}

describe('a stale topology', () => {
  it('loses what brings news to the host, and leaves all else', () => {
    const stale = new StaleTopology();
    const frame = encodeFrame([
      raft([TOPOLOGY_GROUP_ID, 'MsgApp'], [TOPOLOGY_GROUP_ID, 'MsgHeartbeat']),
      { kind: 'cancel', requestId: 7 },
      raft([SHARD_GROUP_ID, 'MsgApp'], [TOPOLOGY_GROUP_ID, 'MsgSnap']),
    ]);
    expect(stale.filter(HOST, frame)).toBe(frame);
    stale.begin(HOST);
    expect(typesIn(stale.filter(HOST, frame))).toEqual([
      `${TOPOLOGY_GROUP_ID} MsgHeartbeat`,
      'cancel',
      `${SHARD_GROUP_ID} MsgApp`,
    ]);
    expect(stale.filter('node-2', frame)).toBe(frame);
    expect(stale.withheld).toBe(2);
  });

  it('loses a frame that is nothing but news, until it ends or goes to another host', () => {
    const stale = new StaleTopology();
    const frame = encodeFrame([raft([TOPOLOGY_GROUP_ID, 'MsgApp'])]);
    stale.begin(HOST);
    expect(stale.filter(HOST, frame)).toBeUndefined();
    stale.begin('node-2');
    expect(stale.filter(HOST, frame)).toBe(frame);
    expect(stale.filter('node-2', frame)).toBeUndefined();
    stale.end();
    expect(stale.filter('node-2', frame)).toBe(frame);
  });
});
