// Goal: the engine keeps one contract in this thread, on either database, and in its own thread.
// Method: the shared suites.
import { engineSnapshotSuite } from '../../conformance/engine-snapshot-suite.js';
import { engineSuite } from '../../conformance/engine-suite.js';
import { levelHarness, memoryHarness, threadHarness } from './harness.js';

engineSuite('in memory', () => memoryHarness());
engineSuite('on LevelDB', levelHarness);
engineSuite('in a thread', threadHarness);

engineSnapshotSuite('in memory', () => memoryHarness());
engineSnapshotSuite('on LevelDB', levelHarness);
engineSnapshotSuite('in a thread', threadHarness);
