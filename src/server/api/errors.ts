/** Codes of the HTTP API. */
import { wrongInput } from '../../admin/errors.ts';
import type { z } from 'zod';
import { errorTable, isError, type PosternError } from '../../base/error.ts';
import { outboxError } from '../../outbox/errors.ts';

export const apiError = errorTable({
  denied: {
    'api.key':
      'send a valid key as `Authorization: Bearer …`; postern apikey add makes one, postern apikey list shows what became of it',
    'api.forbidden': 'use a key that allows this action and opens this mailbox: postern apikey add --help',
    'api.insecure': 'use https (console.tls: true in postern.yaml), or a proxy that is named in console.trustedProxies',
  },
  limit: {
    'api.rate': 'wait as long as Retry-After says; postern apikey add --rate gives a key another rate',
    'api.too-many-webhooks':
      'one webhook can cover many mailboxes; postern webhook list shows all of them, DELETE /v1/webhooks/ID or postern webhook remove ID ends one',
    'api.too-large':
      'send each large attachment ahead: POST /v1/uploads?filename=NAME, its octets as body, then "attachments": [{"upload": "ID"}]; or the finished message as body of POST /v1/messages with Content-Type: message/rfc822',
  },
  later: {
    'api.busy': 'so many requests are under way that their bodies find no room; send it again as Retry-After says',
    'api.slow':
      'send the body at once when the request begins; a large file on a slow line needs 1 KB a second at least',
    'api.unrecorded':
      'changes are refused while the audit log cannot be written: the operator sees why in the warnings of /readyz and with postern check; send the request again then',
  },
  misuse: {
    'api.request': 'GET /openapi.json describes what each operation takes',
    'api.unknown-parameter': 'GET /openapi.json lists the query parameters of each operation',
    'api.not-found': 'GET /openapi.json lists what there is; ids are found by the lists',
    'api.method': 'GET /openapi.json lists the methods of each path',
    'api.media-type': 'GET /openapi.json says which Content-Type each operation takes',
  },
});

/** What an act says of itself, as a failure of the API. */
export function ofAct(error: PosternError): PosternError {
  const { message, detail, hint } = error;
  if (isError(error, 'admin.not-found')) return apiError('api.not-found', message, { detail });
  if (isError(error, 'admin.forbidden')) return apiError('api.forbidden', message, { detail });
  if (isError(error, 'admin.too-many-webhooks')) return apiError('api.too-many-webhooks', message, { detail });
  if (isError(error, 'admin.unrecorded'))
    return apiError('api.unrecorded', message, { cause: error, ...(hint === '' ? {} : { hint }) });
  if (!isError(error, 'admin.input')) return error;
  const names = 'violations names each wrong field; GET /openapi.json describes all of them';
  return apiError('api.request', message, { detail, ...('violations' in detail ? { hint: names } : {}) });
}

/** What a schema found wrong, as one failure that names each field. Where nothing but addresses is wrong it has their code. */
export function badRequest(issues: readonly z.core.$ZodIssue[]): PosternError {
  const failed = ofAct(wrongInput(issues));
  const own = issues.map((issue): unknown => (issue.code === 'custom' ? issue.params?.['failure'] : undefined));
  const [first] = own;
  if (!isError(first) || !own.every((one) => isError(one, 'outbox.address'))) return failed;
  const { message, hint } = first;
  return outboxError('outbox.address', message, { hint, detail: { ...first.detail, ...failed.detail } });
}
