/** Just enough of a browser for sign-in pages: cookies by path, redirects, and forms submitted as they are. */
import { Agent, fetch } from 'undici';

export interface HeadlessBrowser {
  /** Follows redirects and submits forms until an address starts with `until`, and gives that address. */
  until(address: string, until: string): Promise<URL>;
  /** The same until a page without a form, and gives its text. */
  page(address: string): Promise<string>;
  close(): Promise<void>;
}

/** @param fill values for form fields by name, e.g. a device code */
export function openBrowser(caPem: string, fill: Readonly<Record<string, string>> = {}): HeadlessBrowser {
  const dispatcher = new Agent({ connect: { ca: caPem } });
  const cookies = new Map<string, { readonly name: string; readonly value: string; readonly path: string }>();

  async function visit(address: string, stop: (url: string) => boolean): Promise<{ url: string; text: string }> {
    let url = address;
    let form: URLSearchParams | undefined;
    for (let hop = 0; hop < 20; hop += 1) {
      if (stop(url)) return { url, text: '' };
      const { pathname } = new URL(url);
      const cookie = [...cookies.values()]
        .filter((c) => pathname.startsWith(c.path))
        .map((c) => `${c.name}=${c.value}`);
      const answer = await fetch(url, {
        method: form ? 'POST' : 'GET',
        redirect: 'manual',
        headers: { cookie: cookie.join('; ') },
        body: form ?? null,
        dispatcher,
      });
      for (const line of answer.headers.getSetCookie()) keep(line);
      const text = await answer.text();
      const location = answer.headers.get('location');
      if (location) {
        url = new URL(location, url).href;
        form = undefined;
        continue;
      }
      const found = /<form[^>]*action="([^"]+)"[^>]*>([\s\S]*?)<\/form>/i.exec(text);
      if (!found || answer.status >= 400) return { url, text };
      form = fieldsOf(found[2] ?? '');
      for (const [name, value] of Object.entries(fill)) if (form.has(name)) form.set(name, value);
      url = new URL(decode(found[1] ?? ''), url).href;
    }
    throw new Error(`too many redirects from ${address}`);
  }

  function keep(line: string): void {
    const [pair = '', ...attributes] = line.split(/;\s*/);
    const [name = '', ...value] = pair.split('=');
    const path = attributes.find((a) => /^path=/i.test(a))?.slice(5) ?? '/';
    if (value.join('=') === '') cookies.delete(`${name}|${path}`);
    else cookies.set(`${name}|${path}`, { name, value: value.join('='), path });
  }

  return {
    async until(address, until) {
      const { url, text } = await visit(address, (candidate) => candidate.startsWith(until));
      if (url.startsWith(until)) return new URL(url);
      throw new Error(`stopped at ${url} instead of ${until}: ${text.slice(0, 400)}`);
    },
    page: async (address) => (await visit(address, () => false)).text,
    close: () => dispatcher.close(),
  };
}

function fieldsOf(html: string): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [input] of html.matchAll(/<(?:input|button)[^>]*>/gi)) {
    const name = /name="([^"]*)"/.exec(input)?.[1];
    if (name && name !== 'abort') fields.set(name, decode(/value="([^"]*)"/.exec(input)?.[1] ?? ''));
  }
  return fields;
}

function decode(text: string): string {
  return text.replaceAll('&quot;', '"').replaceAll('&amp;', '&');
}
