import type { Message, Ready } from '../../../src/raft/types.js';

/**
 * What etcd would show. Its requests for votes and their answers carry no commit index (ours: E13),
 * so that its files have none on their lines. What is delivered has it all the same.
 */
export function asEtcdMessage(message: Message): Message {
  const { responses } = message;
  if (responses !== undefined) return { ...message, responses: responses.map(asEtcdMessage) };
  switch (message.type) {
    case 'MsgVote':
    case 'MsgVoteResp':
    case 'MsgPreVote':
    case 'MsgPreVoteResp':
      return { ...message, commit: 0, commitTerm: 0 };
    default:
      return message;
  }
}

export function asEtcdReady(ready: Ready): Ready {
  return {
    ...ready,
    messages: ready.messages.map(asEtcdMessage),
    messagesAfterPersist: ready.messagesAfterPersist.map(asEtcdMessage),
  };
}
