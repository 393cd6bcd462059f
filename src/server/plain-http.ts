/**
 * `node:http`, not imported: an import of it reads all that it exports, and one of those is a getter that loads a whole HTTP client,
 * which takes a start 45 ms and is used by nobody here.
 */
import process from 'node:process';

export const { createServer, request } = process.getBuiltinModule('node:http');
