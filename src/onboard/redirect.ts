/** How the answer of an authorization request comes back to us: by a loopback listener, or pasted by the person. */

export interface Redirect {
  /** Sent as `redirect_uri`, character for character as registered. */
  readonly uri: string;
  /**
   * Shows the authorization page and waits for its answer.
   * @returns the redirect address with the answer's parameters; its `state` is the one of `authorizationUrl`
   * @throws oauth.redirect-invalid, oauth.redirect-mismatch, oauth.consent-expired; the signal's reason when aborted
   */
  wait(authorizationUrl: string, signal?: AbortSignal): Promise<URL>;
  close(): Promise<void>;
}

/** The `state` of an authorization address. */
export function stateOf(authorizationUrl: string): string | null {
  return new URL(authorizationUrl).searchParams.get('state');
}

/** An authorization answer has a state and either a code or an error (RFC 6749 §4.1.2), each once. */
export function isAnswer(parameters: URLSearchParams): boolean {
  const once = (name: string): boolean => parameters.getAll(name).length === 1;
  return once('state') && once('code') !== once('error');
}
