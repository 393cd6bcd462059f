/** `postern/errors`: the one class of every failure and the codes it can have, for programs. docs/errors.md explains each code. */
import { isError as isOurs, type PosternError } from '../base/error.ts';
import type { ErrorCode } from './error-tables.ts';

export { type Kind, PosternError } from '../base/error.ts';
export type { ErrorCode } from './error-tables.ts';

/** True when `error` is Postern's and, if given, has this code. */
export const isError = isOurs as <Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
) => error is PosternError & { readonly code: Code };
