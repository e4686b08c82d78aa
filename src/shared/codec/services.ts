/** First byte of every request between nodes: which room of the receiver answers it. */
export const SERVICE = {
  replica: 1,
  topology: 2,
  snapshot: 3,
  leadership: 4,
  membership: 5,
} as const;
