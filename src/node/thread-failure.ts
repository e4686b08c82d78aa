/** How the thread of an engine ends when something in it fails that nobody catches. */
import process from 'node:process';
import { whenAddonIdle } from '../engine/index/addon.js';

/**
 * From now on an uncaught error closes the port at once, so that nothing is answered any more, and
 * ends the thread as it would have, but not before the addon has finished with its files: its
 * answer to a thread that is gone ends the process.
 */
export function failWhenAddonIdle(port: { close(): void }): void {
  let hasFailed = false;
  process.on('uncaughtException', (error) => {
    if (hasFailed) return;
    hasFailed = true;
    port.close();
    void whenAddonIdle().then(() => {
      process.removeAllListeners('uncaughtException');
      throw error;
    });
  });
}
