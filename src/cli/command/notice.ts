/** `postern notice`: what people are being told, and whether telling them works. */
import { exitCodeOf } from '../exit-code.ts';
import { Command } from 'commander';
import { asError } from '../../base/error.ts';
import { noticeBody } from '../../server/notice/notice-body.ts';
import type { OutgoingNotice } from '../../server/notice/channel.ts';
import { openChannels } from '../../server/notice/channels.ts';
import { newId } from '../../store/id.ts';
import { Context, when } from '../context.ts';
import { cliError } from '../errors.ts';

export function notice(): Command {
  return new Command('notice')
    .description('what needs attention, and who is told of it')
    .addHelpText('after', '\nExample:\n  $ postern notice list\n')
    .addCommand(list())
    .addCommand(test());
}

function list(): Command {
  return new Command('list')
    .description('everything that needs attention now, told or not')
    .addHelpText('after', '\nExample:\n  $ postern notice list --json\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store }) => {
        const open = (await store.notices.open()).map((one) => ({ ...one, body: noticeBody.parse(one.body) }));
        context.list(
          open,
          ({ id, raisedAt, body }) => ({ id, raisedAt: new Date(raisedAt).toISOString(), ...body }),
          {
            SINCE: (one) => when(one.raisedAt),
            WHAT: (one) => one.body.summary,
            'NEXT STEP': (one) => one.body.remedy,
          },
          'nothing needs attention; postern serve looks once a minute',
        );
      });
    });
}

function test(): Command {
  return new Command('test')
    .description('send a notice to everybody who is configured, and say whether it arrived')
    .addHelpText(
      'after',
      '\nThe exit code is 0 when every way worked, otherwise that of the first failure.\n\nExample:\n  $ postern notice test\n',
    )
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const channels = openChannels(instance);
        if (channels.length === 0) {
          throw cliError('cli.usage', 'no receiver of notices is configured', {
            hint: 'set notices.mail, notices.webhook or notices.command in postern.yaml; see docs/renewal.md',
          });
        }
        const sent: OutgoingNotice = {
          id: newId('notice'),
          status: 'raised',
          at: instance.clock.now(),
          body: {
            type: 'notice.test',
            summary: 'this is a test; nothing is wrong',
            reason: 'somebody ran postern notice test',
            remedy: 'nothing',
            mailboxes: [],
            mailboxCount: 0,
          },
        };
        const results = await Promise.all(
          channels.map(async (channel) => {
            try {
              await channel.deliver(sent, new AbortController().signal);
              return { channel: channel.name, error: undefined };
            } catch (error) {
              return { channel: channel.name, error: asError(error) };
            }
          }),
        );
        context.result(
          results.map(({ channel, error }) => ({
            channel,
            delivered: !error,
            ...(error ? { error: error.toJSON() } : {}),
          })),
          results.map(({ channel, error }) => `${channel}  ${error ? `failed: ${error.message}` : 'delivered'}`),
        );
        const failed = results.find(({ error }) => error)?.error;
        if (failed) process.exitCode = exitCodeOf(failed);
      });
    });
}
