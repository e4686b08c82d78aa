// Goal: the memory of a payload is its owner's again as soon as the request is over.
// Method: requests that end with pieces left to send, by every way in which one can end.
import { describe, expect, it } from 'vitest';
import { decodeFrame } from '../../../src/transport/frame.js';
import { FrameRooms } from '../../../src/transport/frame-rooms.js';
import { Outbox } from '../../../src/transport/outbox.js';
import { PendingRequests } from '../../../src/transport/pending-requests.js';
import { TRANSPORT_DEFAULTS } from '../../../src/transport/settings.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const PIECE_BYTES = 10;

type End = (pending: PendingRequests, environment: VirtualEnvironment) => void | Promise<void>;

const WAYS: readonly [string, End][] = [
  ['the peer refuses it', (pending) => pending.fail(1, { reason: 'INTERNAL', message: 'no' })],
  ['the peer answers too early', (pending) => pending.openAnswer(1, 1, Uint8Array.of(7))],
  ['the link breaks', (pending) => pending.failAll(undefined)],
  ['its time is over', (_pending, environment) => environment.advance(1_000)],
];

describe('a request', () => {
  it.each(WAYS)('has nothing of its payload sent once %s', async (_, end) => {
    const environment = new VirtualEnvironment();
    const settings = { frameBytesTarget: PIECE_BYTES, pieceBytesMax: PIECE_BYTES };
    const outbox = new Outbox({ ...TRANSPORT_DEFAULTS, ...settings }, new FrameRooms());
    const pending = new PendingRequests(2, outbox, environment.scheduler, () => undefined);
    const payload = new Uint8Array(3 * PIECE_BYTES).fill(1);
    const isOver = pending.start(payload, { timeoutMs: 500 }).catch(() => undefined);
    const [first] = decodeFrame(outbox.nextFrame() ?? new Uint8Array());
    expect(first).toMatchObject({ kind: 'request', piece: payload.subarray(0, PIECE_BYTES) });
    await end(pending, environment);
    await isOver;
    payload.fill(0xdb);
    const kinds: string[] = [];
    for (let frame = outbox.nextFrame(); frame !== undefined; frame = outbox.nextFrame()) {
      kinds.push(...decodeFrame(frame).map(({ kind }) => kind));
    }
    expect(kinds.filter((kind) => kind !== 'cancel')).toEqual([]);
    expect(outbox.queuedBytes).toBe(0);
  });
});
