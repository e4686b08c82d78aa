// Goal: a snapshot that goes over sockets arrives as it was sent, though the memory of its pieces
// and frames is used again and again (P3). Method: what is given back is scribbled over at once.
import { randomFillSync } from 'node:crypto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import { SnapshotReceiver } from '../../../src/replica/snapshot-receiver.js';
import { SnapshotSender } from '../../../src/replica/snapshot-sender.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { SnapshotFiles } from '../../../src/storage/snapshot-files.js';
import { FrameRooms } from '../../../src/transport/frame-rooms.js';
import { GrpcNetwork } from '../../../src/transport/grpc-network.js';
import { realClock, realScheduler, until } from '../transport/real-time.js';
import { TestNode } from '../transport/test-node.js';

const GROUP_ID = 1;
const TERM = 2;
const SIZE_BYTES = 6_000_000;

/** The one with the lower id dials; a snapshot goes either way. */
const nodes: TestNode[] = [];

async function openNode(nodeId: number): Promise<TestNode> {
  const identity = { clusterId: 'c', nodeId, storeId: `store-${nodeId}`, incarnation: 1 };
  const node = new TestNode(identity);
  await node.open(new GrpcNetwork({ scheduler: realScheduler }), '127.0.0.1:0');
  nodes.push(node);
  return node;
}

beforeEach(async () => {
  const [one, other] = [await openNode(1), await openNode(2)];
  const know = (node: TestNode, peer: TestNode): void => {
    const { nodeId, storeId } = peer.identity;
    const { address } = peer.transport;
    node.transport.configure(node.identity, [{ nodeId, storeId, address }]);
  };
  know(one, other);
  know(other, one);
  await until(() => one.connected(2) && other.connected(1));
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const node of nodes.splice(0)) await node.transport.close();
});

it.each([
  [1, 2],
  [2, 1],
])('arrives whole from node %d at node %d, out of memory that is used again', async (from, to) => {
  const giveBack = FrameRooms.prototype.giveBack;
  let roomsGivenBack = 0;
  vi.spyOn(FrameRooms.prototype, 'giveBack').mockImplementation(function (this: FrameRooms, frame) {
    new Uint8Array(frame.buffer).fill(0xdb);
    roomsGivenBack += 1;
    giveBack.call(this, frame);
  });
  const [source, target] = from === 1 ? nodes : [...nodes].reverse();
  if (source === undefined || target === undefined) throw new Error('two nodes are open');
  const disks = { source: new MemoryDisk(), target: new MemoryDisk() };
  const content = randomFillSync(new Uint8Array(SIZE_BYTES));
  await disks.source.writeFile('snap', content);
  const files = await SnapshotFiles.open(disks.target, 'snapshots');
  let taken = 0;
  const receiver = new SnapshotReceiver({
    files,
    clock: realClock,
    logger: silentLogger,
    recipientOf: () => ({
      term: TERM,
      commitIndex: 0,
      refusal: () => undefined,
      takeSnapshot: () => {
        taken += 1;
      },
    }),
  });
  target.answer = (payload) => receiver.serve(source.identity, payload);
  const sender = new SnapshotSender({
    environment: { clock: realClock, scheduler: realScheduler, disk: disks.source },
    logger: silentLogger,
    settings: { bytesPerSecondMax: Number.POSITIVE_INFINITY },
    request: async (nodeId, payload, options) => {
      const answer = await source.transport.request(nodeId, payload, options);
      payload.fill(0xdb);
      return answer;
    },
  });
  const id = { groupId: GROUP_ID, index: 9, term: TERM, sourceId: '1', sizeBytes: SIZE_BYTES };
  const confState = { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [] };
  const meta = { index: 9, term: TERM, confState: { ...confState, autoLeave: false } };
  const snapshot = { meta, data: new Uint8Array() };
  const message = createMessage('MsgSnap', from, to, TERM, { snapshot });
  const file = { ...id, crc32c: crc32c(content), path: 'snap' };
  expect(await sender.send(to, message, file).outcome).toBe('done');
  expect(taken).toBe(1);
  const [arrived] = files.list(GROUP_ID);
  const bytes = await disks.target.readFile(arrived?.path ?? '');
  expect(Buffer.compare(bytes ?? new Uint8Array(), content)).toBe(0);
  expect(roomsGivenBack).toBeGreaterThan(10);
});
