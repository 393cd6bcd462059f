/** What of a failure of this machine is said to whoever is not on it. */
import { PosternError } from './error.ts';

const NEXT = 'whoever runs this server finds more in its log; try again later';

/** The same failure without the path of a file of ours, in its words as in its facts: the log has that. Others pass unchanged. */
export function outside(error: PosternError): PosternError {
  const { path, ...detail } = error.detail;
  if (typeof path !== 'string' || !path.startsWith('/')) return error;
  const message = error.message
    .replaceAll(`the database file ${path}`, 'the database file')
    .replaceAll(path, 'a file of the server');
  const { code, kind, retryAt } = error;
  return new PosternError(code, { kind, hint: NEXT }, message, { detail, cause: error, ...(retryAt && { retryAt }) });
}
