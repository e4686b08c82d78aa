/** The real `Logger`: pino, one JSON object per line, or lines for people. */
import { type DestinationStream, type Logger as Pino, pino } from 'pino';
import type { Logger } from '../shared/logger.js';
import type { LogLevel } from './settings.js';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** @default false */
  readonly pretty?: boolean;
  /** Receives whole lines. @default the standard output */
  readonly destination?: DestinationStream;
}

/** Fields that must never reach a log, wherever a caller puts them. */
const REDACTED_FIELDS = ['values', 'vector', '*.values', '*.vector', 'authorization', 'apiKey'];
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
};

/** Lines go out synchronously, so that the last words of a dying process are not lost. */
export function createLogger(options: LoggerOptions): Logger {
  const target = options.destination ?? pino.destination({ sync: true });
  const destination = options.pretty ? prettyDestination(target) : target;
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED_FIELDS, censor: '[redacted]' },
    },
    destination,
  );
  return wrap(root);
}

function wrap(logger: Pino): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}

function prettyDestination(target: DestinationStream): DestinationStream {
  return { write: (line) => target.write(prettyLine(line)) };
}

/** `12:30:01.250 info  leader elected  shardId=3 term=7` */
function prettyLine(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const levelName = LEVEL_NAMES[Number(level)] ?? String(level);
  const parts = Object.entries(fields).map(([name, value]) => `${name}=${shown(name, value)}`);
  const tail = parts.length > 0 ? `  ${parts.join(' ')}` : '';
  return `${String(time).slice(11, 23)} ${levelName.padEnd(5)} ${String(msg)}${tail}\n`;
}

function shown(name: string, value: unknown): string {
  if (name === 'err' && typeof value === 'object' && value !== null && 'stack' in value) {
    return String(value.stack);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
