// Goal: logs are one object per line (or one readable line), filtered by level, without vectors.
// Method: a destination that keeps the lines.
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/node/pino-logger.js';

function capture(options: { level: 'debug' | 'info' | 'warn' | 'silent'; pretty?: boolean }) {
  const lines: string[] = [];
  const logger = createLogger({ ...options, destination: { write: (line) => lines.push(line) } });
  return { logger, lines };
}

describe('createLogger', () => {
  it('writes JSON with the fields of all parents', () => {
    const { logger, lines } = capture({ level: 'info' });
    logger.child({ nodeId: 1 }).child({ shardId: 3 }).info({ term: 7 }, 'leader elected');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 30,
      nodeId: 1,
      shardId: 3,
      term: 7,
      msg: 'leader elected',
    });
  });

  it('drops what is below its level', () => {
    const { logger, lines } = capture({ level: 'warn' });
    logger.info({}, 'no');
    logger.warn({}, 'yes');
    expect(lines).toHaveLength(1);
    expect(capture({ level: 'silent' }).lines).toEqual([]);
  });

  it('never shows a vector', () => {
    const { logger, lines } = capture({ level: 'info' });
    logger.info({ values: [1, 2], record: { id: 'a', values: [3] } }, 'oops');
    const logged = JSON.parse(lines[0] ?? '');
    expect(logged.values).toBe('[redacted]');
    expect(logged.record).toEqual({ id: 'a', values: '[redacted]' });
  });

  it('writes readable lines where asked, with the stack of an error', () => {
    const { logger, lines } = capture({ level: 'debug', pretty: true });
    logger.debug({ shardId: 3, peer: 'a:1' }, 'dialled');
    logger.error({ err: new Error('broken') }, 'stopped');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} debug dialled {2}shardId=3 peer=a:1\n$/);
    expect(lines[1]).toMatch(/error stopped {2}err=Error: broken\n +at /);
  });
});
