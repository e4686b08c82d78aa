/** Server reflection, from the public .proto files, so that grpcurl and the like need no files. */
import { fileURLToPath } from 'node:url';
import type { Server } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { SERVICES } from '../shared/codec/public-api.js';

/** The package's `proto` folder: two levels up from here in `src` and in `dist` alike. */
export const PROTO_DIRECTORY = fileURLToPath(new URL('../../proto', import.meta.url));

export function addReflection(server: Server): void {
  const definition = loadSync(['flotilla/v1/flotilla.proto', 'flotilla/v1/admin.proto'], {
    includeDirs: [PROTO_DIRECTORY],
  });
  new ReflectionService(definition, { services: Object.values(SERVICES) }).addToServer(server);
}
