/** The log of an engine in its thread, which is written where the thread was started. */
import type { Logger } from '../shared/logger.js';

/** Travels beside the answers, and answers nothing. */
export interface LogLine {
  readonly kind: 'log';
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Plain data. */
  readonly fields: object;
  readonly message: string;
}

/** A logger that gives its lines to `post`. */
export function postingLogger(post: (line: LogLine) => void, context: object = {}): Logger {
  const at =
    (level: LogLine['level']) =>
    (fields: object, message: string): void =>
      post({ kind: 'log', level, fields: { ...context, ...fields }, message });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => postingLogger(post, { ...context, ...fields }),
  };
}

export function writeLine(logger: Logger, { level, fields, message }: LogLine): void {
  logger[level](fields, message);
}
