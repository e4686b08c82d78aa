/**
 * The topology document as a replicated state machine. It lives in memory: at every start the
 * group's log is applied again to the document that the cluster was bootstrapped with.
 */
import type { CommittedEntry, StateMachine } from '../shared/state-machine.js';
import { decodeTopologyCommand } from './codec.js';
import type { TopologyDocument } from './document.js';
import { applyTopologyCommand, type TopologyResult } from './transitions.js';

export class TopologyMachine implements StateMachine<TopologyResult> {
  #document: TopologyDocument;
  readonly #publish: (document: TopologyDocument) => void;

  /** `publish` is called with the genesis document when opened, and after each change. */
  constructor(genesis: TopologyDocument, publish: (document: TopologyDocument) => void) {
    this.#document = genesis;
    this.#publish = publish;
  }

  async open(): Promise<{ appliedIndex: number }> {
    this.#publish(this.#document);
    return { appliedIndex: 0 };
  }

  async apply(entries: readonly CommittedEntry[]): Promise<TopologyResult[]> {
    const before = this.#document;
    const results = entries.map((entry) => {
      const { document, result } = applyTopologyCommand(
        this.#document,
        decodeTopologyCommand(entry.data),
      );
      this.#document = document;
      return result;
    });
    if (this.#document !== before) this.#publish(this.#document);
    return results;
  }

  async close(): Promise<void> {}
}
