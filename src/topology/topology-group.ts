/**
 * The topology's own Raft group as the rest of the node uses it: changes and linearizable
 * refreshes, from any node. A call goes to the leader, wherever it is, and follows its hints.
 */
import type { RaftGroup } from '../replica/group.js';
import { ByteReader, ByteWriter, MalformedBytesError, utf8 } from '../shared/bytes.js';
import { SERVICE } from '../shared/codec/services.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { FullJitter } from '../shared/full-jitter.js';
import type { Transport } from '../transport/transport.js';
import { encodeTopologyCommand } from './codec.js';
import type { TopologyCommand } from './document.js';
import type { TopologyResult } from './transitions.js';

export interface TopologyGroupOptions {
  readonly group: RaftGroup<TopologyResult>;
  readonly nodeId: number;
  readonly transport: Pick<Transport, 'request'>;
  readonly environment: Environment;
}

const METHOD = { propose: 1, readIndex: 2 } as const;
const FORMAT = 1;
const RETRY_DELAY_MIN_MS = 20;
const RETRY_DELAY_MAX_MS = 200;

export class TopologyGroup {
  readonly #group: RaftGroup<TopologyResult>;
  readonly #nodeId: number;
  readonly #transport: Pick<Transport, 'request'>;
  readonly #environment: Environment;

  constructor(options: TopologyGroupOptions) {
    this.#group = options.group;
    this.#nodeId = options.nodeId;
    this.#transport = options.transport;
    this.#environment = options.environment;
  }

  get isLeader(): boolean {
    return this.#group.isLeader;
  }

  /**
   * Makes a change. All commands may be proposed again after an unknown outcome: the transitions
   * are idempotent. Rejects with NO_LEADER or DEADLINE_EXCEEDED when time runs out.
   */
  async propose(command: TopologyCommand, deadline: Deadline): Promise<TopologyResult> {
    const bytes = encodeTopologyCommand(command);
    const answer = await this.#atLeader(METHOD.propose, bytes, deadline);
    return JSON.parse(new TextDecoder().decode(answer)) as TopologyResult;
  }

  /** Once it resolves, this node's view has every change that was complete before the call. */
  async refresh(deadline: Deadline): Promise<void> {
    const answer = await this.#atLeader(METHOD.readIndex, new Uint8Array(0), deadline);
    const index = new ByteReader(answer).varint();
    await withDeadline(
      this.#environment.scheduler,
      this.#group.waitApplied(index),
      deadline,
      'refreshing the topology',
    );
  }

  /** Answers a call of another node's `TopologyGroup`, if this node leads. */
  serve(payload: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    const reader = new ByteReader(payload);
    const service = reader.u8();
    const format = reader.u8();
    if (service !== SERVICE.topology || format !== FORMAT) {
      throw new MalformedBytesError(`topology call of service ${service}, format ${format}`);
    }
    return this.#carryOut(reader.u8(), reader.bytes(), deadline);
  }

  async #carryOut(method: number, body: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    const { scheduler } = this.#environment;
    if (method === METHOD.propose) {
      const proposal = this.#group.propose(body.slice());
      const outcome = await withDeadline(scheduler, proposal, deadline, 'changing the topology');
      switch (outcome.kind) {
        case 'applied':
          return utf8(JSON.stringify(outcome.result));
        case 'lost':
          throw new FlotillaError('NO_LEADER', 'Another topology leader took over');
        case 'unknown':
          throw outcome.error;
      }
    }
    if (method !== METHOD.readIndex) throw new MalformedBytesError(`topology method ${method}`);
    await withDeadline(scheduler, this.#group.readBarrier(), deadline, 'reading the topology');
    return new ByteWriter(16).varint(this.#group.appliedIndex).finish();
  }

  /** Tries the leader that is known, again and again with pauses (D2), until time is up. */
  async #atLeader(method: number, body: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    const { clock, scheduler, random } = this.#environment;
    const endMs = clock.monotonicMs() + deadline.timeoutMs;
    const jitter = new FullJitter({
      minMs: RETRY_DELAY_MIN_MS,
      maxMs: RETRY_DELAY_MAX_MS,
      random: () => random.next(),
    });
    for (;;) {
      const leftMs = endMs - clock.monotonicMs();
      try {
        return await this.#attempt(method, body, {
          timeoutMs: leftMs,
          signal: deadline.signal,
        });
      } catch (thrown) {
        const error = toFlotillaError(thrown);
        if (!error.retryable || deadline.signal?.aborted) throw error;
        const delayMs = jitter.nextMs();
        if (clock.monotonicMs() + delayMs >= endMs) throw error;
        await sleep(scheduler, delayMs, deadline.signal);
      }
    }
  }

  #attempt(method: number, body: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    const leader = this.#group.leaderNodeId;
    if (leader === this.#nodeId) return this.#carryOut(method, body, deadline);
    if (leader === 0) {
      throw new FlotillaError('NO_LEADER', 'The topology group has no leader that is known here');
    }
    const writer = new ByteWriter(body.length + 16);
    writer.u8(SERVICE.topology).u8(FORMAT).u8(method).bytes(body);
    return this.#transport.request(leader, writer.finish(), {
      timeoutMs: deadline.timeoutMs,
      ...(deadline.signal !== undefined && { signal: deadline.signal }),
    });
  }
}
