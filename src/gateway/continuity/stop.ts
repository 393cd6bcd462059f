/** The end of a session, for what works on it. Hardly any session is worked on: the signal is made when somebody asks for it. */
import { upstreamError } from '../../upstream/errors.ts';

/** One for all sessions: an error with its stack is dear. */
const OVER = upstreamError('gateway.provider-unreachable', 'the session is over');

export class Stop {
  #controller: AbortController | undefined;
  stopped = false;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.stopped) this.#controller.abort(OVER);
    }
    return this.#controller.signal;
  }

  stop(): void {
    this.stopped = true;
    this.#controller?.abort(OVER);
  }
}
