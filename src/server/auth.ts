/**
 * Where credentials are checked: before every call of every service, health and reflection
 * included. Without an authenticator nothing is put in the way of a call.
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { EXCHANGE_PATH } from '../shared/codec/call-stream-messages.js';
import { toApiError, toGrpcStatus } from './error-map.js';

export interface Authenticator {
  /**
   * Returns where the call may go on; throws or rejects with `FlotillaError` (UNAUTHENTICATED)
   * where it may not. `path` is the method's full path, such as "/flotilla.v1.Records/Search".
   */
  authenticate(metadata: Metadata, path: string): void | Promise<void>;
}

/**
 * The authenticator as an interceptor of grpc-js. A stream of calls is let through: each call on it
 * is checked by itself, under its own path (see served-stream.ts).
 */
export function authInterceptor(authenticator: Authenticator): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: async (metadata, accept) => {
            if (method.path === EXCHANGE_PATH) return accept(metadata);
            try {
              await authenticator.authenticate(metadata, method.path);
            } catch (thrown) {
              call.sendStatus(toGrpcStatus(toApiError(thrown)));
              return;
            }
            accept(metadata);
          },
        }),
    });
}
