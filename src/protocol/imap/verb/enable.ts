/** ENABLE (RFC 5161; RFC 9051 §6.3.1). */
import type { CommandOptions, CommandResult, ImapSession } from '../session.ts';
import type { CommandReader } from '../token.ts';

/** @returns also what is enabled now, in capitals. @throws as `ImapSession.run` */
export async function enable(
  session: ImapSession,
  names: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult & { readonly enabled: readonly string[] }> {
  const enabled: string[] = [];
  const result = await session.run(`ENABLE ${names.join(' ')}`, {
    ...options,
    untagged: (response, segments) => {
      if (response.type === 'enabled') enabled.push(...response.names);
      options.untagged?.(response, segments);
    },
  });
  return { ...result, enabled };
}

/** The names, in capitals. @throws wire.syntax */
export function parseEnable(reader: CommandReader): readonly string[] {
  const names: string[] = [];
  do {
    reader.space();
    names.push(reader.atom().toUpperCase());
  } while (!reader.atEnd);
  return names;
}

/** The response, with CRLF. */
export function formatEnabled(names: readonly string[]): string {
  return `* ENABLED${names.map((name) => ` ${name}`).join('')}\r\n`;
}
