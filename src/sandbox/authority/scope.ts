/** Scope strings: which resource they mean and what is left of them in a token. */
import { refuse } from './aadsts.ts';
import { oidcScopes, resources, type RegisteredApplication, type Resource } from './directory.ts';

/** What was asked of one resource under one of its audiences. */
export interface ResourceScopes {
  readonly resource: Resource;
  readonly audience: string;
  /** Permission names; `default` stands for `/.default`. */
  readonly names: readonly string[] | 'default';
}

export interface ScopeRequest {
  readonly oidc: readonly string[];
  /** In the order asked for; a token is issued for the first alone. */
  readonly resources: readonly ResourceScopes[];
}

/** @throws sandbox.refused 70011 (no scope), 500011 (unknown resource), 650053 (unknown permission), 28002 (mixed) */
export function parseScope(text: string, application: RegisteredApplication): ScopeRequest {
  const words = [...new Set(text.split(/\s+/).filter((word) => word !== ''))];
  if (words.length === 0) throw refuse(70011, { scope: '' });
  const oidc: string[] = [];
  const byAudience = new Map<string, { resource: Resource; names: string[] | 'default' }>();
  for (const word of words) {
    if (Object.hasOwn(oidcScopes, word)) {
      oidc.push(word);
      continue;
    }
    const { resource, audience, name } = locate(word);
    const entry = byAudience.get(audience);
    if (name === '.default') {
      if (entry && entry.names !== 'default') throw refuse(70011, { scope: text });
      byAudience.set(audience, { resource, names: 'default' });
      continue;
    }
    const known = Object.keys(resource.scopes).find((scope) => scope.toLowerCase() === name.toLowerCase());
    if (known === undefined) throw refuse(650053, { name: application.name, scope: name, resource: resource.id });
    // `.default` must not be combined with single permissions of the same resource.
    if (entry?.names === 'default') throw refuse(70011, { scope: text });
    if (entry) entry.names.push(known);
    else byAudience.set(audience, { resource, names: [known] });
  }
  return { oidc, resources: [...byAudience].map(([audience, entry]) => ({ audience, ...entry })) };
}

function locate(word: string): { resource: Resource; audience: string; name: string } {
  const url = /^(https?:\/\/[^/\s]+)\/{1,2}([^/\s]+)$/.exec(word);
  if (!url) {
    const bare = resources.find((resource) => resource.bareNames)!;
    if (/[:/]/.test(word)) throw refuse(70011, { scope: word });
    return { resource: bare, audience: bare.audiences[0]!, name: word };
  }
  const audience = url[1]!.toLowerCase();
  const resource = resources.find((candidate) => candidate.audiences.includes(audience));
  if (!resource) throw refuse(500011, { resource: audience });
  return { resource, audience, name: url[2]! };
}

/** One permission as consent is remembered: the resource counts, not the audience it was named by. */
export function permissionKey(resource: Resource, name: string): string {
  return `${resource.id} ${name}`;
}

/** The permissions an interactive request asks a person for; `/.default` asks for all that the resource has. */
export function permissionNames(scopes: ResourceScopes): readonly string[] {
  return scopes.names === 'default' ? Object.keys(scopes.resource.scopes) : scopes.names;
}

/** The `scope` member of a token response: full names, as Microsoft gives them. */
export function fullNames(audience: string, names: readonly string[]): readonly string[] {
  return names.map((name) => `${audience}/${name}`);
}
