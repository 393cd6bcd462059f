/** What this process knows of a mailbox with mail. */
export interface Box {
  running: number;
  /** Nothing before this moment. */
  waitUntil: number;
  /** When it was found shut, if that is why it waits. */
  shutAt: number | undefined;
  /** It waits for something that rests, and goes on when that does. */
  rests: boolean;
}

export function newBox(): Box {
  return { running: 0, waitUntil: 0, shutAt: undefined, rests: false };
}
