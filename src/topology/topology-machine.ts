/**
 * The topology document as a replicated state machine. It lives in memory: at every start the
 * group's newest snapshot, then its log, is applied again to the document that the cluster was
 * bootstrapped with.
 */
import { MalformedBytesError, utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { KvEntry } from '../shared/kv.js';
import { SnapshotFileReader, writeSnapshotFile } from '../shared/snapshot-file.js';
import type { CommittedEntry, StateMachine, WrittenSnapshot } from '../shared/state-machine.js';
import { decodeTopology, decodeTopologyCommand, encodeTopology } from './codec.js';
import type { TopologyDocument } from './document.js';
import { applyTopologyCommand, type TopologyResult } from './transitions.js';

/** A snapshot is the document under this key. */
const DOCUMENT_KEY = utf8('document');

export interface TopologyMachineOptions {
  /** What the cluster was bootstrapped with. */
  readonly genesis: TopologyDocument;
  /** Called with the document when opened, and after each change. */
  readonly publish: (document: TopologyDocument) => void;
  /** Where snapshots are written and read. */
  readonly disk: Disk;
}

export class TopologyMachine implements StateMachine<TopologyResult> {
  readonly #options: TopologyMachineOptions;
  #document: TopologyDocument;
  #appliedIndex = 0;
  #isOpen = false;

  constructor(options: TopologyMachineOptions) {
    this.#options = options;
    this.#document = options.genesis;
  }

  async open(): Promise<{ appliedIndex: number }> {
    this.#isOpen = true;
    this.#options.publish(this.#document);
    return { appliedIndex: this.#appliedIndex };
  }

  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<TopologyResult[]> {
    let document = this.#document;
    const results = entries.map((entry) => {
      const step = applyTopologyCommand(document, decodeTopologyCommand(entry.data));
      document = step.document;
      return step.result;
    });
    this.#appliedIndex = lastIndex;
    this.#replaceDocument(document);
    return results;
  }

  writeSnapshot(path: string): Promise<WrittenSnapshot> {
    const header = { machine: this.#name(), appliedIndex: this.#appliedIndex };
    const entry = { key: DOCUMENT_KEY, value: encodeTopology(this.#document) };
    return writeSnapshotFile(this.#options.disk, path, header, [[entry]]);
  }

  /** In memory only: a start before the group's log begins installs it again. */
  async installSnapshot(path: string): Promise<{ appliedIndex: number }> {
    const reader = await SnapshotFileReader.open(this.#options.disk, path, this.#name());
    try {
      const entries: KvEntry[] = [];
      for await (const page of reader.pages()) entries.push(...page);
      const document = readDocument(path, entries);
      this.#appliedIndex = reader.header.appliedIndex;
      this.#replaceDocument(document);
    } finally {
      await reader.close();
    }
    return { appliedIndex: this.#appliedIndex };
  }

  async close(): Promise<void> {}

  /** Clusters do not take each other's documents. */
  #name(): string {
    return `topology of ${this.#options.genesis.clusterId}`;
  }

  #replaceDocument(document: TopologyDocument): void {
    if (document === this.#document) return;
    this.#document = document;
    if (this.#isOpen) this.#options.publish(document);
  }
}

function readDocument(path: string, entries: readonly KvEntry[]): TopologyDocument {
  try {
    const [entry] = entries;
    if (entry === undefined) throw new MalformedBytesError('it holds no document');
    return decodeTopology(entry.value);
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
    throw new FlotillaError('LOG_DAMAGED', `${path}: ${error.message}`, { cause: error });
  }
}
