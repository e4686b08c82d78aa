/**
 * Loaded ahead of a program (`node --import`): profiles each of its threads, and writes what it
 * found into BENCH_PROFILE_DIRECTORY when they end.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

const SAMPLE_US = 500;

const directory = process.env.BENCH_PROFILE_DIRECTORY;
if (directory === undefined) throw new Error('BENCH_PROFILE_DIRECTORY is not set');
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
session.post('Profiler.start');
process.once('exit', () => {
  session.post('Profiler.stop', (error, { profile }) => {
    if (error !== null) throw error;
    const path = join(directory, `${process.pid}-${threadId}.cpuprofile`);
    writeFileSync(path, JSON.stringify(profile));
  });
});
