/** Why a sign-in by link did not work, told twice: to the owner of the mailbox, and to whoever can do something about it. */
import type { PosternError } from '../base/error.ts';
import { withoutPaths } from '../base/outside.ts';
import { diagnose, type Diagnosis } from '../oauth/catalogue/diagnose.ts';
import { applicationFacts } from '../oauth/catalogue/facts.ts';
import { presetById } from '../oauth/providers.ts';
import type { Application } from '../store/types.ts';

/** Whom the second text is for. */
export type Audience = 'an administrator of your organisation' | 'whoever runs your mail';

export interface FailureText {
  readonly title: string;
  /** For the owner: no command, no code. */
  readonly paragraphs: readonly string[];
  /** Whether opening the link once more may help. */
  readonly again: boolean;
  /** What the owner passes on. */
  readonly forOthers?: {
    readonly audience: Audience;
    readonly cause: string;
    readonly steps: Diagnosis['remedy'];
    readonly facts: readonly (readonly [name: string, value: string])[];
  };
}

interface About {
  readonly address: string;
  readonly identity: string;
  readonly application: Application;
}

/** Pure. */
export function explainFailure(error: PosternError, about: About): FailureText {
  const provider = presetById(about.application.provider)?.name ?? 'The provider';
  const plain = plainText(error, about, provider);
  if (plain) return plain;
  const diagnosis = diagnose(error, applicationFacts(about.application, about.address));
  // A certificate that is not trusted does not get better by waiting.
  if (error.kind === 'later' && !diagnosis.id.startsWith('tls.'))
    return {
      title: 'Not just now',
      paragraphs: [
        `${provider} does not answer properly at the moment. That usually passes within minutes.`,
        'Nothing was changed. Please try again a little later; the link stays good.',
      ],
      again: true,
      forOthers: forOthers(error, diagnosis, about, 'whoever runs your mail'),
    };
  if (diagnosis.blame === 'admin')
    return {
      title: 'An administrator has to allow this first',
      paragraphs: [
        `${provider} did not let you decide this alone. It is a setting of your organisation, and nothing you did wrong.`,
        'Please send the text below to an administrator of your organisation. When they are done, open the link again.',
      ],
      again: true,
      forOthers: forOthers(error, diagnosis, about, 'an administrator of your organisation'),
    };
  if (diagnosis.blame === 'user')
    return {
      title: 'Not signed in',
      paragraphs: [`${provider} says: ${diagnosis.cause}.`, 'When that is settled, open the link again.'],
      again: true,
      forOthers: forOthers(error, diagnosis, about, 'whoever runs your mail'),
    };
  return {
    title: 'This does not work yet',
    paragraphs: [
      'You did everything right. Something in the settings has to be corrected before you can sign in.',
      'Please send the text below to whoever runs your mail. When they are done, open the link again.',
    ],
    again: false,
    forOthers: forOthers(error, diagnosis, about, 'whoever runs your mail'),
  };
}

function plainText(error: PosternError, { address, identity }: About, provider: string): FailureText | undefined {
  switch (error.code) {
    case 'oauth.consent-declined':
      return {
        title: 'You did not agree',
        paragraphs: [
          `So nothing was changed, and Postern cannot use the mailbox ${address}.`,
          'If that was a slip, try again and choose “Accept”. If you do not want this, simply close the page.',
        ],
        again: true,
      };
    case 'oauth.wrong-identity': {
      const { signedIn } = error.detail as { signedIn?: readonly string[] };
      const who = signedIn?.[0];
      return {
        title: 'That was another account',
        paragraphs: [
          `You signed in${who === undefined ? ' with another account' : ` as ${who}`}, but this is about ${identity}. Nothing was changed.`,
          `Try again and choose “Use another account” at ${provider}, or open the link in a private window.`,
        ],
        again: true,
      };
    }
    case 'oauth.consent-expired':
      return {
        title: 'That took too long',
        paragraphs: ['A sign-in has to be finished within ten minutes. Nothing was changed; please try again.'],
        again: true,
      };
    case 'oauth.suspended':
      return {
        title: 'This mailbox was closed',
        paragraphs: [`Whoever runs your mail has closed ${address} in Postern. Please ask them.`],
        again: false,
      };
    case 'oauth.removed':
    case 'oauth.superseded':
      return {
        title: 'Something else was decided meanwhile',
        paragraphs: [
          `While you signed in, ${address} was removed, set up otherwise, or a newer link was made. Your sign-in changed nothing.`,
          'If you have a newer link, please use that one. Otherwise ask whoever runs your mail.',
        ],
        again: false,
      };
    default:
      return undefined;
  }
}

function forOthers(
  error: PosternError,
  { cause, remedy }: Diagnosis,
  { address, application }: About,
  audience: Audience,
): NonNullable<FailureText['forOthers']> {
  const { tenant, clientId, application: name } = applicationFacts(application, address);
  return {
    audience,
    cause: withoutPaths(cause),
    // Consenting is what the owner does by the link.
    steps: remedy.filter(({ run }) => run?.startsWith('postern mailbox reconsent') !== true),
    facts: [
      ['Mailbox', address],
      ['Application', `${name}, client id ${clientId}`],
      ...(tenant === undefined ? [] : [['Tenant', tenant] as const]),
      ['Error', `${error.code}: ${withoutPaths(error.message)}`],
    ],
  };
}
