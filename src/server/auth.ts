/**
 * Where credentials are checked: before every call of every service, health and reflection
 * included. Without an authenticator nothing is put in the way of a call.
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { toApiError, toGrpcStatus } from './error-map.js';

export interface Authenticator {
  /**
   * Returns where the call may go on; throws or rejects with `FlotillaError` (UNAUTHENTICATED)
   * where it may not. `path` is the method's full path, such as "/flotilla.v1.Records/Search".
   */
  authenticate(metadata: Metadata, path: string): void | Promise<void>;
}

/** The authenticator as an interceptor of grpc-js. */
export function authInterceptor(authenticator: Authenticator): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: async (metadata, accept) => {
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
