/** What of a failure of this machine is said to whoever is not on it. */
import { PosternError } from './error.ts';

const NEXT = 'whoever runs this server finds more in its log; try again later';
const A_FILE = 'a file of the server';

/**
 * An absolute path, in quotation marks or up to the next space, with what it is called before it (`the database file /srv/x`). Not the
 * target of a request, an address of the API, the path of a URL, or a length of a network.
 */
const PATH =
  /(?<![^\s'"`“‘(=,;:[])(?<!\b(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )((?:the|its) (?:[\w-]+ ){0,3}(?:file|folder|socket) )?(?:'(?:file:\/\/)?\/[\w.@%+~-][^'\n]*(?:'|$)|"(?:file:\/\/)?\/[\w.@%+~-][^"\n]*(?:"|$)|(?:file:\/\/)?\/(?!\d{1,3}(?![\w/.-])|v1(?![\w.-])|errors\/)[\w.@%+~-](?:[^\s'"`”’,;()\]]*[^\s'"`”’,;()\].:!?])?)/g;

/** Text of ours without the paths of files, whoever wrote it and however long ago. */
export function withoutPaths(text: string): string {
  if (!text.includes('/')) return text;
  return text.replace(PATH, (_, named: string | undefined) => named?.trimEnd() ?? A_FILE);
}

/** The same failure without paths of files, in its words as in its facts: the log has them. Others pass unchanged. */
export function outside(error: PosternError): PosternError {
  const { code, kind, retryAt, detail: facts } = error;
  // What a path with a space in it begins and ends with no expression knows: it is named there.
  const path = typeof facts['path'] === 'string' && facts['path'].startsWith('/') ? facts['path'] : undefined;
  const told = withoutPaths(path === undefined ? error.message : error.message.replaceAll(path, '/x'));
  const detail = Object.fromEntries(
    Object.entries(facts)
      .filter(([name]) => name !== 'path' || path === undefined)
      .map(([name, fact]) => [name, typeof fact === 'string' && name !== 'reply' ? withoutPaths(fact) : fact]),
  );
  const isSame = told === error.message && Object.entries(facts).every(([name, fact]) => detail[name] === fact);
  const hasPath = path !== undefined || withoutPaths(error.hint) !== error.hint;
  if (isSame && !hasPath) return error;
  const hint = hasPath ? NEXT : error.hint;
  return new PosternError(code, { kind, hint }, told, { detail, cause: error, ...(retryAt && { retryAt }) });
}
