// Goal: what was started last is stopped first, and one failure keeps nothing else running.
// Method: parts that note when they are stopped.
import { expect, it } from 'vitest';
import { Lifecycle } from '../../../src/node/lifecycle.js';
import { silentLogger } from '../../../src/shared/logger.js';

it('stops the last part first, each after the one before, and only once', async () => {
  const lifecycle = new Lifecycle(silentLogger);
  const stopped: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    lifecycle.add(name, async () => {
      stopped.push(`${name} stops`);
      await Promise.resolve();
      stopped.push(`${name} is stopped`);
    });
  }
  await Promise.all([lifecycle.stop(), lifecycle.stop()]);
  await lifecycle.stop();
  expect(stopped).toEqual(
    ['c', 'b', 'a'].flatMap((name) => [`${name} stops`, `${name} is stopped`]),
  );
});

it('goes on when a part does not stop, and logs which', async () => {
  const logged: object[] = [];
  const logger = { ...silentLogger, error: (fields: object) => void logged.push(fields) };
  const lifecycle = new Lifecycle(logger);
  const stopped: string[] = [];
  lifecycle.add('first', () => void stopped.push('first'));
  lifecycle.add('rejects', () => Promise.reject(new Error('broken')));
  lifecycle.add('throws', () => {
    throw new Error('broken too');
  });
  await lifecycle.stop();
  expect(stopped).toEqual(['first']);
  expect(logged).toMatchObject([{ part: 'throws' }, { part: 'rejects' }]);
});
