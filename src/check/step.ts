/** Running one step and putting its outcome into words. */
import type { Clock } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';
import { diagnose, type Diagnosis, type Facts } from '../oauth/catalogue/diagnose.ts';
import type { CheckOptions, CheckReport, Finding, FirstCause, Subject } from './types.ts';

export const DAY_MS = 86_400_000;

/** What a step that ran to its end found. A step that throws has failed. */
export interface Found {
  readonly says: string;
  readonly notes?: readonly string[];
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Makes it a warning. */
  readonly warning?: Warning | undefined;
}

type Warning = Pick<Diagnosis, 'id' | 'cause' | 'blame' | 'remedy'> & Partial<Diagnosis>;

/** One about which whoever runs Postern has to do something. */
export function operatorWarning(id: string, cause: string, ...remedy: Diagnosis['remedy']): Warning {
  return { id, cause, blame: 'operator', remedy };
}

/** Runs steps one after the other, all about one thing. */
export class Steps {
  readonly #clock: Clock;
  readonly #options: CheckOptions;
  #facts: Facts;

  constructor(clock: Clock, options: CheckOptions, facts: Facts = {}) {
    this.#clock = clock;
    this.#options = options;
    this.#facts = facts;
  }

  /** For remedies from here on. */
  learn(facts: Facts): void {
    this.#facts = { ...this.#facts, ...facts };
  }

  /** Never throws: a failure is a finding, except the abort of the whole check. */
  async run(step: string, title: string, work: () => Promise<Found> | Found): Promise<Finding> {
    this.#options.signal?.throwIfAborted();
    this.#options.onStart?.(title);
    const startedAt = this.#clock.now();
    try {
      const { says, notes, facts = {}, warning } = await work();
      const milliseconds = this.#clock.now() - startedAt;
      const diagnosis = warning === undefined ? undefined : { sources: [], ...warning };
      return {
        step,
        title,
        outcome: warning === undefined ? 'ok' : 'warning',
        says,
        ...(notes === undefined || notes.length === 0 ? {} : { notes }),
        ...(diagnosis === undefined ? {} : { diagnosis }),
        facts,
        milliseconds,
      };
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      return this.failed(step, title, asError(error), this.#clock.now() - startedAt);
    }
  }

  failed(step: string, title: string, error: PosternError, milliseconds = 0): Finding {
    const { code, kind, detail, message } = error;
    return {
      step,
      title,
      outcome: 'failed',
      says: message,
      diagnosis: diagnose(error, this.#facts),
      error: { code, kind },
      facts: { ...detail },
      milliseconds,
    };
  }

  skipped(step: string, title: string, why: string): Finding {
    return { step, title, outcome: 'skipped', says: why, facts: {}, milliseconds: 0 };
  }
}

/** Everything that was found, and what is wrong first. */
export function reportOf(subject: Subject, findings: readonly Finding[], now: number): CheckReport {
  const failed = findings.find(({ outcome }) => outcome === 'failed');
  const warned = findings.find(({ outcome }) => outcome === 'warning');
  const first = failed ?? warned;
  return {
    format: 1,
    subject,
    at: new Date(now).toISOString(),
    outcome: failed ? 'failed' : warned ? 'warnings' : 'ok',
    ...(first === undefined ? {} : { first: causeOf(first) }),
    findings,
  };
}

/** With a capital, unless it begins with the name of a host, a file or an option, which is written as it is. */
export function asSentence(text: string): string {
  const [first = ''] = text.split(' ');
  return /[.:/@=_]./.test(first) || first.startsWith('-') ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** What is wrong, in a sentence, and what to do. */
export function causeOf({ step, diagnosis, says }: Finding): FirstCause {
  const { cause = says, blame = 'operator', remedy = [], passesWhen } = diagnosis ?? {};
  return {
    step,
    sentence: `${asSentence(cause)}.`,
    blame,
    ...(passesWhen === undefined ? {} : { passesWhen }),
    remedy,
  };
}
