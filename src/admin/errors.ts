/** How acts fail on their own account. Each surface answers with codes of its own: `surfaceError` in it says which. */
// The language of its issues.
import '../base/schema-words.ts';
import { errorTable, type PosternError } from '../base/error.ts';

/** The next step is a command or a request, so it is the surface's to say unless the act knows better. */
export const adminError = errorTable({
  misuse: {
    'admin.input': '',
    'admin.not-found': '',
  },
  denied: {
    'admin.forbidden': '',
  },
  later: {
    'admin.unrecorded': '',
  },
  limit: {
    'admin.too-many-webhooks': '',
  },
});

/** What a schema found wrong, as one failure that names each field. */
export function wrongInput(
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): PosternError {
  const violations = issues.slice(0, 20).map(({ path, message }) => ({ path: path.map(String).join('.'), message }));
  const [first] = violations;
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return adminError('admin.input', `${where}${first?.message ?? 'the request is wrong'}`, { detail: { violations } });
}
