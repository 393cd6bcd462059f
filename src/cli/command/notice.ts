/** `postern notice`: what people are being told, and whether telling them works. */
import { exitCodeOf } from '../exit-code.ts';
import { asError } from '../../base/error.ts';
import { noticeBody } from '../../server/notice/notice-body.ts';
import type { OutgoingNotice } from '../../server/notice/channel.ts';
import { openChannels } from '../../server/notice/channels.ts';
import { newId } from '../../store/id.ts';
import { when } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';

export function notice(): Subcommand {
  return new Subcommand('notice', 'what needs attention, and who is told of it')
    .example('postern notice list')
    .addCommands(list(), test());
}

function list(): Subcommand {
  return new Subcommand('list', 'everything that needs attention now, told or not')
    .example('postern notice list --json')
    .runWithInstance(async (context, { store }) => {
      const open = (await store.notices.open()).map((one) => ({ ...one, body: noticeBody.parse(one.body) }));
      context.list(
        open,
        ({ id, raisedAt, body }) => ({ id, raisedAt, ...body }),
        {
          SINCE: (one) => when(one.raisedAt),
          WHAT: (one) => one.body.summary,
          'NEXT STEP': (one) => one.body.remedy,
        },
        'nothing needs attention; postern serve looks once a minute',
      );
    });
}

function test(): Subcommand {
  return new Subcommand('test', 'send a notice to everybody who is configured, and say whether it arrived')
    .remark('The exit code is 0 when every way worked, otherwise that of the first failure.')
    .example('postern notice test')
    .runWithInstance(async (context, instance) => {
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
}
