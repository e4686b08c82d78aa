// Goal: what nodes of version 0.1 say before they are a cluster stays what it is (F-15).
// Method: golden bytes of questions and answers against values that are written here.
import { describe, expect, it } from 'vitest';
import {
  type ControlHandler,
  decodeControlAnswer,
  encodeControlRequest,
  type NodeCard,
  serveControl,
} from '../../../src/node/control.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { GoldenFile } from '../../fixtures/golden.js';
import { genesis } from '../topology/topology-fixtures.js';

const golden = new GoldenFile('format-1', 'node');

const CARD: NodeCard = {
  node: {
    nodeId: 2,
    storeId: 'store-2',
    peerAddress: '10.0.0.2:7701',
    clientAddress: '10.0.0.2:7700',
    httpAddress: '10.0.0.2:7702',
  },
  genesis: undefined,
  document: undefined,
};

const ANSWERING: ControlHandler = {
  identify: () => CARD,
  join: () => Promise.reject(new FlotillaError('WRONG_CLUSTER', 'another cluster')),
};

describe('questions to a node in format 1 (F-15)', () => {
  it('ask who it is', async () => {
    golden.isWritten('identify', encodeControlRequest({ kind: 'identify' }));
    golden.isWritten('card', await serveControl(golden.bytes('identify'), ANSWERING));
    golden.isRead('card', CARD, decodeControlAnswer);
  });

  it('ask it to join', async () => {
    const asked: TopologyDocument[] = [];
    const request = encodeControlRequest({ kind: 'join', genesis: genesis() });
    const card = { ...CARD, genesis: genesis() };
    const answer = await serveControl(request, {
      ...ANSWERING,
      join: async (document) => {
        asked.push(document);
        return card;
      },
    });
    expect(asked).toEqual([genesis()]);
    expect(decodeControlAnswer(answer)).toEqual(card);
  });

  it('are refused with an error', async () => {
    const request = encodeControlRequest({ kind: 'join', genesis: genesis() });
    golden.isWritten('refusal', await serveControl(request, ANSWERING));
    expect(() => decodeControlAnswer(golden.bytes('refusal'))).toThrow('another cluster');
  });

  it('have no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
