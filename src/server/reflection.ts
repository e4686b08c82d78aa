/** Server reflection, from the public .proto files, so that grpcurl and the like need no files. */
import { fileURLToPath } from 'node:url';
import type { Server } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { CALLS_SERVICE } from '../shared/codec/call-stream-messages.js';
import { SERVICES } from '../shared/codec/public-api.js';

/** The package's `proto` folder: two levels up from here in `src` and in `dist` alike. */
export const PROTO_DIRECTORY = fileURLToPath(new URL('../../proto', import.meta.url));

export function addReflection(server: Server): void {
  const files = ['flotilla', 'admin', 'calls'].map((name) => `flotilla/v1/${name}.proto`);
  const definition = loadSync(files, { includeDirs: [PROTO_DIRECTORY] });
  const services = [...Object.values(SERVICES), CALLS_SERVICE];
  new ReflectionService(definition, { services }).addToServer(server);
}
