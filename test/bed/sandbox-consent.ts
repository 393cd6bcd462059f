/** A consent at the sandbox as some other program gets it: authorization code with PKCE, by hand. */
import { createHash, randomBytes } from 'node:crypto';
import { openHttp } from '../../src/oauth/http.ts';
import type { Sandbox } from '../../src/sandbox/index.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface ForeignTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

export async function consentElsewhere(sandbox: Sandbox, scope: string, user: string): Promise<ForeignTokens> {
  const verifier = randomBytes(32).toString('base64url');
  const common = { client_id: sandbox.clients.public.id, redirect_uri: 'http://localhost' };
  const url = new URL(`${sandbox.authority}/oauth2/v2.0/authorize`);
  url.search = new URLSearchParams({
    ...common,
    response_type: 'code',
    scope,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString();
  const code = (await sandbox.approve(url.href, user)).searchParams.get('code') ?? '';
  const http = openHttp({ ca: sandbox.caPem });
  try {
    const answer = await http.request(`${sandbox.authority}/oauth2/v2.0/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        ...common,
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
      }).toString(),
    });
    const { access_token: accessToken, refresh_token: refreshToken } = said(await answer.text(), {
      access_token: z.string().optional(),
      refresh_token: z.string().optional(),
    });
    if (accessToken === undefined) throw new Error(`the sandbox gave no token: ${answer.status}`);
    return { accessToken, refreshToken: refreshToken ?? '' };
  } finally {
    await http.close();
  }
}
