/**
 * Goal: replicas stop in the middle of reads. Method: what an engine has read comes from its thread
 * a moment later, by its process's clock; no other calls are delayed.
 */
import type { Engine } from '../../../src/engine/engine.js';
import { type Random, type Scheduler, sleep } from '../../../src/shared/environment.js';

export interface SlowReadsParts {
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** 0 for not at all. */
  readonly delayMaxMs: number;
}

export function withSlowReads(engine: Engine, parts: SlowReadsParts): Engine {
  const { scheduler, random, delayMaxMs } = parts;
  if (delayMaxMs === 0) return engine;
  const later = async <T>(read: Promise<T>): Promise<T> => {
    const value = await read;
    await sleep(scheduler, random.next() * delayMaxMs);
    return value;
  };
  return new Proxy(engine, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        const result: unknown = Reflect.apply(member, target, args);
        const isRead = name === 'search' || name === 'fetch';
        return isRead ? later(result as Promise<unknown>) : result;
      };
    },
  });
}
