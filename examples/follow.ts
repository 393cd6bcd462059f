/**
 * Follows what becomes of mail, as it happens. After a break it goes on where it was cut.
 *
 *   POSTERN_KEY=… node follow.ts [ID of the last event that was dealt with]
 */
import { setTimeout as delay } from 'node:timers/promises';

const { POSTERN_URL = 'http://127.0.0.1:7993', POSTERN_KEY = '' } = process.env;
let [last = 'latest'] = process.argv.slice(2);

interface Event {
  readonly id: string;
  readonly type: string;
  readonly messageId: string;
}

for (;;) {
  try {
    for await (const event of events()) {
      console.log(`${event.id} ${event.type} ${event.messageId}`);
      // A program of yours stores this with what it did, and gives it back when it starts again.
      last = event.id;
    }
  } catch (error) {
    console.error(`the stream broke: ${String(error)}`);
  }
  await delay(1000);
}

/** Server-sent events: blocks with an empty line between them, of which the `data:` line is one of ours in JSON. */
async function* events(): AsyncGenerator<Event> {
  const answer = await fetch(`${POSTERN_URL}/v1/events?after=${last}`, {
    headers: { authorization: `Bearer ${POSTERN_KEY}`, accept: 'text/event-stream' },
  });
  if (!answer.ok || answer.body === null) throw new Error(await answer.text());
  let text = '';
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + piece).split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield JSON.parse(data) as Event;
    }
  }
}
