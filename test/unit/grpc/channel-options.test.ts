// Goal: channels and servers agree on sizes, and leave retries and proxies to others.
// Method: compare the options with the limits and with each other.
import { describe, expect, it } from 'vitest';
import { channelOptions, serverOptions } from '../../../src/shared/grpc/channel-options.js';
import { CLIENT_WINDOW_BYTES, needsWideWindow } from '../../../src/shared/grpc/http2-window.js';
import { LIMITS } from '../../../src/shared/limits.js';

describe('gRPC options', () => {
  it('take every message that the limits permit, in both directions, on both sides', () => {
    for (const options of [channelOptions(), serverOptions()]) {
      for (const way of ['send', 'receive'] as const) {
        const bytesMax = options[`grpc.max_${way}_message_length`];
        expect(bytesMax).toBeGreaterThanOrEqual(LIMITS.frameBytesMax.value);
        expect(bytesMax).toBeGreaterThanOrEqual(LIMITS.requestBytesMax.value);
      }
    }
  });

  it('open the receive window of clients by option, of servers by the marker', () => {
    expect(channelOptions()['grpc-node.flow_control_window']).toBe(CLIENT_WINDOW_BYTES);
    const maxSessionMemory = serverOptions()['grpc-node.max_session_memory'];
    expect(needsWideWindow({ maxSessionMemory })).toBe(true);
  });

  it('never retry, never use a proxy, and share connections unless told otherwise', () => {
    const shared = channelOptions();
    expect(shared['grpc.enable_retries']).toBe(0);
    expect(shared['grpc.enable_http_proxy']).toBe(0);
    expect(shared['grpc.use_local_subchannel_pool']).toBe(0);
    expect(channelOptions({ ownConnection: true })['grpc.use_local_subchannel_pool']).toBe(1);
  });
});
