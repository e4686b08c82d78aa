/** The environment of production: the machine's clocks, timers, randomness, disk and network. */
import { randomUUID } from 'node:crypto';
import type { Clock, Environment, Network, Random, Scheduler } from '../shared/environment.js';
import { RealDisk } from './real-disk.js';

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

const scheduler: Scheduler = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, task) {
    const timer = setInterval(task, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
  soon(task) {
    setImmediate(task);
  },
};

const random: Random = {
  next: () => Math.random(),
  uuid: () => randomUUID(),
};

/** The network is gRPC between processes, a hub in memory inside one, and absent in threads. */
export function realEnvironment(
  network: Network | ((scheduler: Scheduler) => Network),
): Environment {
  return {
    clock,
    scheduler,
    random,
    disk: new RealDisk(),
    network: typeof network === 'function' ? network(scheduler) : network,
  };
}

/** For parts of a node that speak to no other. */
export const NO_NETWORK: Network = {
  listen: () => Promise.reject(new Error('there is no network here')),
  dial: () => Promise.reject(new Error('there is no network here')),
};
