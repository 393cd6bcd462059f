/** Follows which mailbox is selected, through SELECT, EXAMINE, CLOSE and UNSELECT (RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2), and the client's view of it. */
import { isError } from '../../base/error.ts';
import type { Response } from '../../protocol/imap/response.ts';
import { CommandReader } from '../../protocol/imap/token.ts';
import { noteSelected, parseSelect, type SelectedMailbox } from '../../protocol/imap/verb/select.ts';
import type { Command } from './command.ts';
import { MessageView } from './view.ts';

/** The mailbox a client has selected, and what it was told with it. */
export interface Selection extends Readonly<SelectedMailbox> {
  readonly verb: 'SELECT' | 'EXAMINE';
  /** As on the wire, one octet per character. */
  readonly name: string;
  /** The client is aware of CONDSTORE (RFC 7162 §3.1): responses carry MODSEQ. */
  readonly condstore: boolean;
  readonly view: MessageView;
  readonly readOnly: boolean;
}

interface Selected extends SelectedMailbox {
  readonly verb: 'SELECT' | 'EXAMINE';
  /** Undefined when the name was too long to be kept. */
  readonly arguments: Pick<Selection, 'name' | 'condstore'> | undefined;
  view: MessageView;
  readOnly: boolean;
  /** The client may have been told more of the messages without known UID than that they are there. */
  touched: boolean;
}

/** Answers to these may say which messages the numbers stand for. */
const TELLING = /^(?:UID .*|APPEND|COPY|FETCH|MOVE|SEARCH|SORT|STORE|THREAD)$/;

export class Selecting {
  #selected: Selected | undefined;
  /** What a SELECT under way will select; the server's words are taken to be about that. */
  #next: Selected | undefined;
  /** False when it cannot be said which mailbox is selected. */
  known = true;

  get current(): Selected | undefined {
    return this.#next ?? this.#selected;
  }

  /** True when UIDs of the selected mailbox's messages should be asked for. */
  get unnumbered(): boolean {
    const view = this.current?.view;
    return view !== undefined && !view.complete && !view.broken;
  }

  get untouched(): boolean {
    return this.current?.touched !== true;
  }

  /** What a successor has to select; nothing while a SELECT is under way, which will be sent again. */
  selection(condstore: boolean): Selection | undefined {
    const selected = this.#next === undefined ? this.#selected : undefined;
    if (selected?.arguments === undefined) return undefined;
    const { arguments: named, touched: _, ...rest } = selected;
    return { ...rest, name: named.name, condstore: condstore || named.condstore };
  }

  /** A command begins. */
  used(verb: string): void {
    const selected = this.current;
    if (selected !== undefined && !selected.view.complete && TELLING.test(verb)) selected.touched = true;
  }

  /** A command was passed on whole. */
  asked(command: Command): void {
    if (command.verb !== 'SELECT' && command.verb !== 'EXAMINE') return;
    this.#next = {
      verb: command.verb,
      arguments: selectArguments(command),
      view: new MessageView(),
      readOnly: false,
      touched: false,
    };
  }

  answered({ verb }: Command, status: string, text: string): void {
    if (verb === 'SELECT' || verb === 'EXAMINE') {
      // With a second SELECT under way whose words are whose cannot be told: then the last one's OK finds none.
      const next = this.#next;
      this.#next = undefined;
      if (status === 'BAD') {
        this.known &&= this.#selected === undefined || next?.flags === undefined;
        return;
      }
      this.#selected = status === 'OK' ? next : undefined;
      if (this.#selected !== undefined) this.#selected.readOnly = /\[READ-ONLY\]/i.test(text);
      this.known = status !== 'OK' || this.#selected?.arguments !== undefined;
    } else if ((verb === 'CLOSE' || verb === 'UNSELECT') && status === 'OK') {
      this.#selected = undefined;
      this.known = true;
    }
  }

  /** A successor's mailbox is the client's now. */
  follow(selection: Selection | undefined): void {
    if (selection === undefined) {
      this.#selected = undefined;
      return;
    }
    const { name, condstore, ...rest } = selection;
    this.#selected = { ...rest, arguments: { name, condstore }, touched: true };
    this.#next = undefined;
  }

  exists(count: number): void {
    if (this.#next !== undefined) this.#next.view = new MessageView(count);
    else if (this.#selected !== undefined) {
      const { view } = this.#selected;
      if (view.complete && count > view.count) this.#selected.touched = false;
      view.exists(count);
    }
  }

  expunge(number: number): void {
    this.current?.view.expunge(number);
  }

  vanished(set: string): void {
    this.current?.view.vanished(set);
  }

  learn(number: number, uid: number): void {
    this.current?.view.learn(number, uid);
  }

  /** An untagged OK or FLAGS. */
  noted(response: Response): void {
    const selected = this.current;
    if (selected !== undefined) noteSelected(selected, response);
  }
}

const TAG_AND_VERB = /[^ ]+ (?:SELECT|EXAMINE)/iy;

/** The mailbox name and parameters of SELECT or EXAMINE; undefined when it cannot be repeated. */
function selectArguments(command: Command): Pick<Selection, 'name' | 'condstore'> | undefined {
  if (!command.small) return undefined;
  try {
    const reader = new CommandReader(command.segments);
    reader.matching(TAG_AND_VERB, 'SELECT');
    const { mailbox, condstore } = parseSelect(reader);
    return { name: mailbox.toString('latin1'), condstore };
  } catch (error) {
    if (isError(error, 'wire.syntax')) return undefined; // the server says BAD
    throw error;
  }
}
