/**
 * What nodes say to each other before there is a cluster: who are you, and here is the cluster
 * that you belong to. One request and one answer on a link of its own, as JSON.
 */
import { MalformedBytesError, utf8 } from '../shared/bytes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { ErrorBody } from '../shared/types.js';
import { decodeTopology, encodeTopology } from '../topology/codec.js';
import type { ClusterSettings, NodeEntry, TopologyDocument } from '../topology/document.js';
import type { NodeAddress } from './settings.js';

/** A node's answer to `identify`. */
export interface NodeCard {
  readonly node: NodeEntry;
  /** The document that the node was bootstrapped with, if it was. */
  readonly genesis: TopologyDocument | undefined;
  /** The newest document that the node has seen; nodes of an earlier version do not say. */
  readonly document?: TopologyDocument | undefined;
  /** What the node is configured with; nodes of an earlier version do not say. */
  readonly settings?: ClusterSettings | undefined;
  /** The nodes that it is configured with, where it names others than itself; as above. */
  readonly nodes?: readonly NodeAddress[] | undefined;
}

export type ControlRequest =
  | { readonly kind: 'identify' }
  /** Become part of this cluster. Idempotent by cluster id. */
  | { readonly kind: 'join'; readonly genesis: TopologyDocument };

/** Both requests are answered with the node's card as it is afterwards. */
export interface ControlHandler {
  identify(): NodeCard;
  join(genesis: TopologyDocument): Promise<NodeCard>;
}

type Answer =
  | {
      readonly ok: true;
      readonly node: NodeEntry;
      readonly genesis: string | null;
      readonly document?: string | null;
      readonly settings?: ClusterSettings | undefined;
      readonly nodes?: readonly NodeAddress[] | undefined;
    }
  | { readonly ok: false; readonly error: ErrorBody };

export function encodeControlRequest(request: ControlRequest): Uint8Array {
  const genesis = request.kind === 'join' ? toBase64(request.genesis) : null;
  return utf8(JSON.stringify({ kind: request.kind, genesis }));
}

/** Answers a request; errors go back as such. */
export async function serveControl(
  payload: Uint8Array,
  handler: ControlHandler,
): Promise<Uint8Array> {
  let answer: Answer;
  try {
    const request = decodeControlRequest(payload);
    const card =
      request.kind === 'identify' ? handler.identify() : await handler.join(request.genesis);
    const { node, genesis, document, settings, nodes } = card;
    const documents = { genesis: toBase64(genesis), document: toBase64(document) };
    // What is undefined is left out by JSON.
    answer = { ok: true, node, ...documents, settings, nodes };
  } catch (error) {
    answer = { ok: false, error: toFlotillaError(error).body };
  }
  return utf8(JSON.stringify(answer));
}

/** Throws the error that the node answered with. */
export function decodeControlAnswer(payload: Uint8Array): NodeCard {
  const answer = parse(payload) as Answer;
  if (!answer.ok) throw FlotillaError.fromBody(answer.error);
  return {
    node: answer.node,
    genesis: fromBase64(answer.genesis),
    document: fromBase64(answer.document),
    ...(answer.settings !== undefined && { settings: answer.settings }),
    ...(answer.nodes !== undefined && { nodes: answer.nodes }),
  };
}

function decodeControlRequest(payload: Uint8Array): ControlRequest {
  const request = parse(payload) as { readonly kind?: unknown; readonly genesis?: unknown };
  if (request.kind === 'identify') return { kind: 'identify' };
  if (request.kind === 'join' && typeof request.genesis === 'string') {
    return { kind: 'join', genesis: decodeTopology(Buffer.from(request.genesis, 'base64')) };
  }
  throw new MalformedBytesError('control request of an unknown kind');
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch (cause) {
    throw new MalformedBytesError('control message is not JSON', { cause });
  }
}

function toBase64(document: TopologyDocument | undefined): string | null {
  return document === undefined ? null : Buffer.from(encodeTopology(document)).toString('base64');
}

function fromBase64(text: string | null | undefined): TopologyDocument | undefined {
  return typeof text === 'string' ? decodeTopology(Buffer.from(text, 'base64')) : undefined;
}
