// Goal: pieces of a snapshot overlap, one being read and one written while another is on its way;
// what fails or is lost is asked for again (P3, S4). Method: each end alone, against a script.
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import { SnapshotReceiver } from '../../../src/replica/snapshot-receiver.js';
import { SnapshotSender } from '../../../src/replica/snapshot-sender.js';
import {
  decodeSnapshotAnswer,
  decodeSnapshotCall,
  encodeSnapshotAnswer,
  encodeSnapshotCall,
  type SnapshotAnswer,
  type SnapshotCall,
} from '../../../src/replica/snapshot-wire.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { SnapshotFiles, type SnapshotId } from '../../../src/storage/snapshot-files.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { GateDisk } from '../engine/checkpoint/gate-disk.js';

const PIECE_BYTES = 10;
const FROM = { clusterId: 'c', nodeId: 1, storeId: 's', incarnation: 1 };
const CONTENT = Uint8Array.from({ length: 34 }, (_, at) => (at * 37) & 0xff);
const ID: SnapshotId = {
  groupId: 1,
  index: 9,
  term: 2,
  sourceId: '1',
  sizeBytes: CONTENT.length,
  crc32c: crc32c(CONTENT),
};
const CONF_STATE = {
  voters: [1, 2],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const MESSAGE = createMessage('MsgSnap', 1, 2, ID.term, {
  snapshot: { meta: { ...ID, confState: CONF_STATE }, data: new Uint8Array() },
});

let disk: GateDisk;

/** Whatever waits for nothing but the disk is done afterwards. */
async function turnsPass(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate();
}

beforeEach(() => {
  disk = new GateDisk();
});

describe('a receiver of pieces', () => {
  let receiver: SnapshotReceiver;
  let taken: number;

  async function open(): Promise<void> {
    taken = 0;
    receiver = new SnapshotReceiver({
      files: await SnapshotFiles.open(disk, 'snapshots'),
      clock: new VirtualEnvironment().clock,
      logger: silentLogger,
      recipientOf: () => ({
        term: ID.term,
        commitIndex: 0,
        refusal: () => undefined,
        takeSnapshot: () => {
          taken += 1;
        },
      }),
    });
  }

  async function ask(call: SnapshotCall): Promise<SnapshotAnswer> {
    return decodeSnapshotAnswer(await receiver.serve(FROM, encodeSnapshotCall(call)));
  }

  const begin = () => ask({ method: 'begin', id: ID, message: MESSAGE });
  const finish = () => ask({ method: 'finish', id: ID });
  const piece = (offset: number) => {
    const bytes = CONTENT.subarray(offset, offset + PIECE_BYTES);
    return ask({ method: 'chunk', id: ID, offset, crc32c: crc32c(bytes), bytes });
  };

  /** They are durable afterwards. */
  async function pieces(...offsets: number[]): Promise<void> {
    for (const offset of offsets) await piece(offset);
    await turnsPass();
  }

  async function isPending(answer: Promise<unknown>): Promise<boolean> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    answer.then(settle, settle);
    await turnsPass();
    return !isSettled;
  }

  beforeEach(open);

  it('asks for the next one while one is written, and for no more than that (P3)', async () => {
    expect(await begin()).toEqual({ kind: 'wanted', offset: 0 });
    disk.shut('sync', /\.part$/);
    expect(await piece(0)).toEqual({ kind: 'wanted', offset: 10 });
    const second = piece(10);
    expect(await isPending(second)).toBe(true);
    disk.open();
    expect(await second).toEqual({ kind: 'wanted', offset: 20 });
  });

  it('asks again for what had not become durable (P3, S4)', async () => {
    await begin();
    await pieces(0);
    disk.shut('sync', /\.part$/);
    expect(await piece(10)).toEqual({ kind: 'wanted', offset: 20 });
    await disk.reached();
    disk.crash();
    disk.open();
    await receiver.close().catch(() => undefined);
    await open();
    expect(await begin()).toEqual({ kind: 'wanted', offset: 10 });
  });

  it('tells of a write that has failed with the next piece, and forgets it (S6)', async () => {
    await begin();
    await pieces(0);
    disk.broken = { access: 'write', pattern: /\.part$/ };
    expect(await piece(10)).toEqual({ kind: 'wanted', offset: 20 });
    await expect(piece(20)).rejects.toThrow('EIO');
    disk.broken = undefined;
    expect(await piece(20)).toEqual({ kind: 'unknown' });
    expect(await begin()).toEqual({ kind: 'wanted', offset: 10 });
    await pieces(10, 20, 30);
    expect(await finish()).toEqual({ kind: 'done' });
    expect(taken).toBe(1);
  });

  it('is not done before the last piece is durable (S3, S4)', async () => {
    await begin();
    await pieces(0, 10, 20);
    disk.shut('sync', /\.part$/);
    expect(await piece(30)).toEqual({ kind: 'wanted', offset: 34 });
    const finished = finish();
    expect([await isPending(finished), taken]).toEqual([true, 0]);
    disk.open();
    expect([await finished, taken]).toEqual([{ kind: 'done' }, 1]);
  });

  it('is not done where writing the last piece has failed (S6)', async () => {
    await begin();
    await pieces(0, 10, 20);
    disk.broken = { access: 'write', pattern: /\.part$/ };
    expect(await piece(30)).toEqual({ kind: 'wanted', offset: 34 });
    await expect(finish()).rejects.toThrow('EIO');
    expect(taken).toBe(0);
    disk.broken = undefined;
    expect(await finish()).toEqual({ kind: 'unknown' });
    expect(await begin()).toEqual({ kind: 'wanted', offset: 30 });
  });
});

describe('a sender of pieces', () => {
  /** What the receiver answers to the piece from `offset` to before `end`. */
  type Answer = (offset: number, end: number) => SnapshotAnswer | 'lost';

  /** Sends the content; the pieces in the order in which they came. */
  async function send(
    answerTo: Answer,
    content = CONTENT,
  ): Promise<{ outcome: string; offsets: number[] }> {
    const environment = new VirtualEnvironment();
    await disk.writeFile('snap', content);
    const offsets: number[] = [];
    let wanted = 0;
    const sender = new SnapshotSender({
      environment: { clock: environment.clock, scheduler: environment.scheduler, disk },
      logger: silentLogger,
      settings: { chunkSizeBytes: PIECE_BYTES, bytesPerSecondMax: Number.POSITIVE_INFINITY },
      request: async (_nodeId, payload) => {
        // Read late, and of no use to anybody afterwards.
        await turnsPass();
        const call = decodeSnapshotCall(payload.slice());
        payload.fill(0xdb);
        if (call.method !== 'chunk') {
          const answer = { kind: 'wanted', offset: wanted } as const;
          return encodeSnapshotAnswer(call.method === 'finish' ? { kind: 'done' } : answer);
        }
        const { offset, bytes } = call;
        expect(offset).toBe(wanted);
        expect(call.bytes).toEqual(CONTENT.subarray(offset, offset + PIECE_BYTES));
        expect(call.crc32c).toBe(crc32c(bytes));
        offsets.push(offset);
        const answer = answerTo(offset, offset + bytes.length);
        if (answer === 'lost') throw new Error('lost');
        if (answer.kind === 'wanted') wanted = answer.offset;
        return encodeSnapshotAnswer(answer);
      },
    });
    const transfer = sender.send(2, MESSAGE, { ...ID, path: 'snap' });
    let outcome = '';
    void transfer.outcome.then((how) => {
      outcome = how;
    });
    while (outcome === '') {
      await setImmediate();
      await environment.advance(50);
    }
    return { outcome, offsets };
  }

  const next: Answer = (_offset, end) => ({ kind: 'wanted', offset: end });

  it('calls a file damaged that ends too early, and none that goes on (P-8)', async () => {
    const short = await send(next, CONTENT.subarray(0, 15));
    expect(short).toEqual({ outcome: 'damaged', offsets: [0] });
    const long = await send(next, Uint8Array.of(...CONTENT, 7, 7));
    expect(long).toEqual({ outcome: 'done', offsets: [0, 10, 20, 30] });
  });

  it('reads the next piece while one is on its way, each once, in memory for two', async () => {
    const reads: number[] = [];
    const targets = new Set<unknown>();
    const { openFile } = disk;
    disk.openFile = async (path, mode) => {
      const file = await openFile.call(disk, path, mode);
      const readInto = (offset: number, target: Uint8Array) => {
        reads.push(offset);
        targets.add(target.buffer);
        return file.readInto(offset, target);
      };
      return { ...file, sizeBytes: file.sizeBytes, readInto };
    };
    const before: number[] = [];
    const { outcome } = await send((offset, end) => {
      before.push(reads.length);
      return next(offset, end);
    });
    expect(outcome).toBe('done');
    expect(reads).toEqual([0, 10, 20, 30]);
    expect(before).toEqual([2, 3, 4, 4]);
    expect(targets.size).toBe(2);
  });

  it('sends what is wanted, wherever that is, and however often it is lost (P3)', async () => {
    const moves = fc.array(fc.constantFrom('next', 'again', 'back', 'begin', 'lost'), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(moves, async (script) => {
        const left = [...script];
        const { outcome, offsets } = await send((offset, end) => {
          switch (left.shift()) {
            case 'again':
              return { kind: 'wanted', offset };
            case 'back':
              return { kind: 'wanted', offset: Math.max(0, offset - PIECE_BYTES) };
            case 'begin':
              return { kind: 'unknown' };
            case 'lost':
              return 'lost';
            default:
              return next(offset, end);
          }
        });
        expect(outcome).toBe('done');
        expect(offsets.at(-1)).toBe(30);
      }),
      { numRuns: 60 },
    );
  });
});
