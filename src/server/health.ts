/** The standard health service, grpc.health.v1.Health: the whole server ('') and each service. */
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { CALLS_SERVICE } from '../shared/codec/call-stream-messages.js';
import { SERVICES } from '../shared/codec/public-api.js';

export class HealthService {
  readonly #names = ['', ...Object.values(SERVICES), CALLS_SERVICE];
  readonly #health = new HealthImplementation();

  constructor() {
    this.setServing(false);
  }

  addTo(server: Server): void {
    this.#health.addToServer(server);
  }

  /** Starts as NOT_SERVING; the node says when all of its shards can be used. */
  setServing(serving: boolean): void {
    for (const name of this.#names) {
      this.#health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    }
  }
}
