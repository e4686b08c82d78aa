/**
 * The options of every gRPC channel and server of Flotilla, all explicit: what grpc-js defaults to
 * is either too small (messages, windows) or decided elsewhere (retries, proxies).
 */
import type { ChannelOptions } from '@grpc/grpc-js';
import { LIMITS } from '../limits.js';
import {
  CLIENT_WINDOW_BYTES,
  FLOW_CONTROL_WINDOW_BYTES,
  installWideServerWindow,
  WIDE_WINDOW_MARKER,
} from './http2-window.js';

/** How long a connection may be silent before it is probed. */
export const KEEPALIVE_TIME_MS = 10_000;
/** How long a probe may stay unanswered before the connection counts as broken. */
export const KEEPALIVE_TIMEOUT_MS = 5_000;

const MESSAGE_BYTES_MAX = Math.max(LIMITS.frameBytesMax.value, LIMITS.requestBytesMax.value);

const COMMON: ChannelOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.enable_channelz': 0,
};

export interface ChannelKind {
  /**
   * Whether the channel gets a TCP connection of its own instead of sharing one with the other
   * channels of the process to the same address. @default false
   */
  readonly ownConnection?: boolean;
}

/**
 * Options for `new Client(...)`. Without retries: one place above every call decides about them.
 * Without HTTP proxies: nodes are reached directly.
 */
export function channelOptions(kind: ChannelKind = {}): ChannelOptions {
  return {
    ...COMMON,
    'grpc-node.flow_control_window': CLIENT_WINDOW_BYTES,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': kind.ownConnection === true ? 1 : 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  };
}

/** Options for `new Server(...)`, with the wide receive window. Connections have no maximum age. */
export function serverOptions(): ChannelOptions {
  installWideServerWindow();
  return {
    ...COMMON,
    'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
    'grpc-node.max_session_memory': WIDE_WINDOW_MARKER,
  };
}
