/**
 * A node whose disk is nearly full does not keep leaderships that another could have (S7): its
 * groups would refuse writes although most of their replicas have room.
 */
import { SERVICE } from '../shared/codec/services.js';
import type { Logger } from '../shared/logger.js';
import type { LogStore } from '../storage/log-store.js';
import type { Transport } from '../transport/transport.js';
import type { RaftGroup } from './group.js';

export interface SpaceReliefOptions {
  readonly logStore: Pick<LogStore, 'space'>;
  readonly request: Transport['request'];
  readonly logger: Logger;
  /** How long a question or a transfer may take. */
  readonly timeoutMs: number;
}

const FORMAT = 1;
const NO = 0;
const YES = 1;

export class SpaceRelief {
  readonly #options: SpaceReliefOptions;
  #isUnderWay = false;

  constructor(options: SpaceReliefOptions) {
    this.#options = options;
  }

  /** Answers another node that would hand leaderships over: whether there is room here. */
  answer(): Uint8Array {
    return Uint8Array.of(FORMAT, this.#options.logStore.space === 'ok' ? YES : NO);
  }

  /** To be called now and then. Does nothing while there is room, or a relief is under way. */
  consider(groups: Iterable<RaftGroup<unknown>>): void {
    if (this.#isUnderWay || this.#options.logStore.space === 'ok') return;
    const led = [...groups].filter((group) => group.isLeader);
    if (led.length === 0) return;
    this.#isUnderWay = true;
    void this.#relieve(led).finally(() => {
      this.#isUnderWay = false;
    });
  }

  async #relieve(led: readonly RaftGroup<unknown>[]): Promise<void> {
    const answers = new Map<number, Promise<boolean>>();
    const hasRoom = (nodeId: number): Promise<boolean> => {
      const answer = answers.get(nodeId) ?? this.#ask(nodeId);
      answers.set(nodeId, answer);
      return answer;
    };
    await Promise.all(led.map((group) => this.#handOver(group, hasRoom)));
  }

  async #handOver(
    group: RaftGroup<unknown>,
    hasRoom: (nodeId: number) => Promise<boolean>,
  ): Promise<void> {
    const { logger, timeoutMs } = this.#options;
    for (const { id } of group.successors) {
      if (!(await hasRoom(group.memberNodeId(id)))) continue;
      const { groupId } = group;
      logger.warn({ groupId, to: id }, 'the disk is nearly full: the leadership is handed over');
      // What fails is tried again at the next occasion.
      await group.transferLeadership(id, { timeoutMs }).catch(() => undefined);
      return;
    }
  }

  async #ask(nodeId: number): Promise<boolean> {
    const { request, timeoutMs } = this.#options;
    try {
      const question = Uint8Array.of(SERVICE.leadership, FORMAT);
      const [format, answer] = await request(nodeId, question, { timeoutMs });
      return format === FORMAT && answer === YES;
    } catch {
      return false;
    }
  }
}
