/** Where etcd's own test data lies, which is no part of this repository. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** Our own files, which are. */
export const OWN_INTERACTION_DIRECTORY = join(REPOSITORY, 'test/raft/interaction/testdata');
export const OWN_QUORUM_DIRECTORY = join(REPOSITORY, 'test/raft/quorum/testdata');

/**
 * The folder named by FLOTILLA_ETCD_RAFT_DATA, which is then expected to be there, or the one
 * beside the repository; undefined where there is none.
 */
export function findEtcdDataDirectory(): string | undefined {
  const named = process.env.FLOTILLA_ETCD_RAFT_DATA;
  if (named !== undefined && named !== '') {
    return named;
  }
  const beside = join(REPOSITORY, '../shared/data/etcd-raft');
  return existsSync(beside) ? beside : undefined;
}
