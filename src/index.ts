/** Everything that an application needs: the client, and the cluster in one process. */
export * from './client/index.js';
export * from './cluster/index.js';
