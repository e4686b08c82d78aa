/** The embedded cluster. */
export { Cluster, type ClusterNode, type ClusterOptions } from './cluster.js';
