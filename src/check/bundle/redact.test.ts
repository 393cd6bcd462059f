/** What a support bundle leaves out of a text. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../base/secret.ts';
import { grows } from '../../../test/bed/growth.ts';
import { redactor } from './redact.ts';

describe('redaction', () => {
  test('no secret survives, whole or encoded, wherever it stands', () => {
    const value = fc
      .string({ minLength: 8, maxLength: 60, unit: 'grapheme-ascii' })
      .filter((text) => text.trim().length >= 8);
    fc.assert(
      fc.property(value, fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (secret, before, after) => {
        const clean = redactor([new Secret(secret)]);
        for (const text of [
          secret,
          encodeURIComponent(secret),
          Buffer.from(`${before}${secret}${after}`).toString('base64'),
          Buffer.from(secret).toString('base64url'),
          JSON.stringify({ x: secret }),
        ]) {
          const left = clean(`${before}${text}${after}`);
          assert.ok(!left.includes(secret), left);
          assert.ok(!Buffer.from(left.replaceAll('[secret]', ''), 'base64').includes(Buffer.from(secret)), left);
        }
      }),
    );
  });

  test('what has the shape of a secret goes too', () => {
    const clean = redactor([]);
    for (const [text, gone] of [
      ['the password abcdefghjkmnpqrs0123456789 was given', 'abcdefghjkmnpqrs0123456789'],
      ['database: postgres://u:s3cr3t-word@db/x', 's3cr3t-word'],
      ['  clientSecret: some words here', 'some words'],
      ['-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----', 'MC4CAQ'],
    ] as const)
      assert.ok(!clean(text).includes(gone), clean(text));
    const id = 'grant_abcdefghjkmnpqrs0123456789';
    assert.equal(clean(`grant ${id} is well`), `grant ${id} is well`);
  });

  test('S7: known values in any case, with dashes, in parts, in whatever encoding', () => {
    const known = `1.AXoAq-${createHash('sha512').update('a token').digest('base64url')}-end`;
    const clean = redactor([new Secret(known), new Secret('correct-horse-battery')]);
    const user = Buffer.from(`\0alice@example.com\0correct-horse-battery`);
    for (const text of [
      known.toUpperCase(),
      known.toLowerCase(),
      known.replaceAll('-', ''),
      known.slice(0, 70),
      known.slice(-70),
      known.match(/.{1,20}/g)!.join('\r\n  '),
      `a=${encodeURIComponent(known)}`,
      'CORRECT HORSE BATTERY',
      'correcthorsebattery',
      user.toString('base64'),
      user.toString('base64url'),
      Buffer.from(`x${known}`).toString('base64').replace(/.{76}/g, '$&\n'),
      Buffer.from(known).toString('hex').toUpperCase(),
    ])
      assert.match(clean(`before ${text} after`), /^before \S{0,2}(?:\[secret\]\s?)+\S{0,2} after$/, text);
  });

  test('A9: forms, escapes, colours and labels do not hide a secret', () => {
    const microsoft = 'sandbox~secret/for+contoso-only';
    const clean = redactor([new Secret(microsoft)]);
    const password = 'hjk7qpabcdefghjkmnpqrs0123';
    for (const text of [
      new URLSearchParams({ client_secret: microsoft }).toString(),
      `{"line":"first\\n${password}"}`,
      `user=alice%3A${password}`,
      `pw-${password}`,
      `\u001b[32m${password}\u001b[0m`,
      `\\u0022${password}\\u0022`,
      `sasl-${Buffer.from(`\0alice@example.com\0${password}`).toString('base64')}`,
      `/x/${Buffer.from(`\0alice@example.com\0${password}`).toString('base64')}`,
    ]) {
      const said = clean(text);
      assert.match(said, /\[secret\]/, text);
      assert.ok(!said.includes(password) && !said.includes('contoso') && !/AG[A-Za-z0-9+/]{30}/.test(said), said);
    }
    for (const text of [
      'apw_abcdefghjkmnpqrs0123456789',
      'sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    ])
      assert.equal(clean(text), text);
  });

  test('A39: an app password or API key in every usual encoding, joined, grouped and broken over lines', () => {
    const password = 'hjk7qpabcdefghjkmnpqrs0123';
    const key = 'postern_0123456789abcdefghjkmnpqrstvwxyz';
    const clean = redactor([new Secret(key)], new Map(), (word) => word === password || `postern_${word}` === key);
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const plainSignIn = (value: string): string => base64(`\0alice@contoso.test\0${value}`);
    for (const value of [password, key]) {
      const octets = [...Buffer.from(value)];
      const hex = (octet: number): string => octet.toString(16).padStart(2, '0');
      for (const text of [
        value,
        value.toUpperCase(),
        base64(value),
        base64(base64(value)),
        Buffer.from(value).toString('hex'),
        octets.map(hex).join(':'),
        octets.map(hex).join(' '),
        octets.map((octet) => `%${hex(octet).toUpperCase()}`).join(''),
        octets.map((octet) => `\\u00${hex(octet)}`).join(''),
        octets.map((octet) => `&#${octet};`).join(''),
        octets.map((octet) => `&#x${hex(octet)};`).join(''),
        JSON.stringify(octets),
        `${value.slice(0, 12)}\n${value.slice(12)}`,
        `${value.slice(0, 12)}\\n${value.slice(12)}`,
        `${value.slice(0, 12)}=\\r\\n${value.slice(12)}`,
        `/v1/messages/${value}/x`,
        `pw${value}`,
        `password_${value}_end`,
        `${value}abc`,
        `pass=${value}&x=1`,
        `AUTH PLAIN ${plainSignIn(value)}`,
        `${plainSignIn(value).slice(0, 30)} ${plainSignIn(value).slice(30)}`,
        plainSignIn(value).replace(/.{20}/g, '$&\n'),
        plainSignIn(value).replace(/.{20}/g, '$&\\r\\n'),
        base64(`user=alice@contoso.test\u0001auth=Bearer ${value}\u0001\u0001`),
        Buffer.from(value, 'utf16le').toString('base64'),
        value.match(/.{1,4}/g)!.join('.'),
        value.match(/.{1,4}/g)!.join('  '),
        `sasl${plainSignIn(value)}`,
        `response:x${base64(value)}`,
      ]) {
        const said = clean(`before >>> ${text} <<< after`);
        assert.match(said, /^before >>> .*<<< after$/s, text);
        assert.match(said, /\[secret\]/, text);
        const rest = said.replaceAll('[secret]', '').replace(/[^A-Za-z0-9]/g, '').length;
        assert.ok(rest < 'beforeafter'.length + 26, `${text} → ${said}`);
      }
    }
    for (const text of ['key_abcdefghjkmnpqrs0123456789', 'apw_0123456789hjkmnpqrstvwxyza of alice@contoso.test'])
      assert.equal(clean(text), text);
  });

  test('A58: dumps, numbers, escapes of every kind and pieces, whole, partly and twice', () => {
    const password = '4wqkek4qn7cg6nqta87cfpmngt';
    const known = 'GOCSPX-a8Zk3pQr_Tn5Lm2xY7vW9bC0';
    const clean = redactor([new Secret(known)], new Map(), (word) => word === password);
    for (const value of [password, known]) {
      const octets = [...Buffer.from(value)];
      const two = octets.map((octet) => octet.toString(16).padStart(2, '0'));
      const rows = [0, 16].map((at) => ({
        at: at.toString(16).padStart(8, '0'),
        hex: two.slice(at, at + 16),
        text: value.slice(at, at + 16),
      }));
      const each = (write: (code: number, hex: string, n: number) => string): string =>
        octets.map((code, n) => write(code, two[n]!, n)).join('');
      const base64 = Buffer.from(`\0alice@contoso.test\0${value}`).toString('base64');
      for (const [name, text] of Object.entries({
        'hexdump -C': rows
          .map(
            ({ at, hex, text: shown }) => `${at}  ${hex.slice(0, 8).join(' ')}  ${hex.slice(8).join(' ')}  |${shown}|`,
          )
          .join('\n'),
        xxd: rows
          .map(({ at, hex, text: shown }) => `${at}: ${hex.join('').replace(/.{4}/g, '$& ')}  ${shown}`)
          .join('\n'),
        'hexadecimal in groups': two.join('').replace(/.{4}/g, '$& '),
        'hexadecimal in lines': two.join('').replace(/.{30}/g, '$&\n'),
        'a pair on each line': two.join('\n'),
        'numbers of a program': two.map((hex) => `0x${hex}`).join(','),
        'a typed array': JSON.stringify(Uint8Array.from(octets)),
        'a list far to the right': JSON.stringify({ a: { b: { c: { d: { e: octets } } } } }, null, 8),
        'percent twice': each((_, hex) => `%25${hex}`),
        'percent, partly': each((code, hex, n) => (n % 2 ? `%${hex}` : String.fromCharCode(code))),
        'code points in braces': each((_, hex) => `\\u{${hex}}`),
        'code units, partly': each((code, hex, n) => (n % 2 ? `\\u00${hex}` : String.fromCharCode(code))),
        octal: each((code) => `\\${code.toString(8).padStart(3, '0')}`),
        entities: each((code, _, n) => (n % 3 ? String.fromCharCode(code) : `&#${code};`)),
        'escaped escapes': each((_, hex) => `\\\\u00${hex}`),
        'quoted-printable': each((_, hex) => `=${hex.toUpperCase()}`),
        'base64 in lines of 12': base64.replace(/.{12}/g, '$&\r\n'),
        'base64 in groups': base64.replace(/.{10}/g, '$& '),
      })) {
        const said = clean(`line before\n${text}\nafter`);
        assert.match(said, /^line before\n.*\[secret\].*\nafter$/s, name);
        const rest = said.replaceAll('[secret]', '').replace(/[^A-Za-z0-9]/g, '');
        assert.ok(rest.length < 'linebeforeafter'.length + 30, `${name}: ${said}`);
      }
    }
    const harmless = ['00000000: 6865 6c6c 6f0a  hello.', '[1, 2, 3, 4, 5, 6, 7, 8, 9]', 'a=4D%20b \\u0041'];
    for (const text of harmless) assert.equal(clean(text), text);
  });

  test('A71: an escape inside JSON text separates like what it stands for, for keys, client secrets and app passwords', () => {
    const master = 'S-ezsm8Hb6-6Ocg7RhkavKf24QUtg92V7ps2c4mxvkQ';
    const client = 'Qx7~kLm.P9vW2rT4yZ8bN3cH6dJ1fGs5';
    const password = '3b39agg80t7p7aq4djtgyssd5t';
    const clean = redactor(
      [new Secret(master), new Secret(client)],
      new Map(),
      (word) => word === password || word === client.toLowerCase(),
    );
    for (const value of [master, client, password])
      for (const between of ['\n', '\n  ', '\r\n\t', '\t', '\b', '\f', '\u0000', '\u001b[32m', '\u00a0', '\u2028'])
        for (const length of [1, 7, 15]) {
          const broken = value.match(new RegExp(`.{1,${length}}`, 'g'))!.join(between);
          // JSON in JSON, and a sign beyond ASCII as many programs write it.
          const json = JSON.stringify({ msg: broken }).replace(
            /[^\x20-\x7e]/g,
            (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
          );
          for (const text of [json, JSON.stringify({ line: json }), broken.replaceAll(between, '%0D%0A')])
            assert.match(clean(text), /^(?:\{"(?:msg|line)":"[^a-z]*(?:msg[^a-z]*)?)?\[secret\][^a-z]*$/, text);
        }
    const harmless = '{"msg":"C:\\\\new\\\\table\\n\\tand\\r\\nmore"}';
    assert.equal(clean(harmless), harmless);
  });

  test('A75: what a flood leaves unsearched is masked, and told', () => {
    const password = '3b39agg80t7p7aq4djtgyssd5t';
    let seed = 'flood';
    let flood = '';
    while (flood.length < 60_000) {
      seed = createHash('sha256').update(seed).digest('hex');
      flood += `${seed.replaceAll('a', 'g')}\n`;
    }
    let told = 0;
    const clean = redactor(
      [],
      new Map(),
      (word) => word === password,
      () => (told += 1),
      20_000,
    );
    const word = Buffer.from(`x ${password} y`).toString('base64');
    const joined = `line before\npass${password}word ${password.replace(/.{5}/g, '$&-')} (${word}) useful\n`;
    const said = clean(`${joined}${flood}${joined}${flood}`);
    assert.equal(told, 1);
    assert.ok(!said.includes(password) && !said.includes(password.slice(0, 20)) && !said.includes(word));
    assert.ok(!said.includes(password.slice(6)), 'no part of one');
    assert.equal(said.split('useful').length, 3, 'ordinary words stay');
    clean(joined);
    assert.equal(told, 1, 'each text is counted by itself');
  });

  test('A76: encodings within one another, in every order, and every way to write a number', () => {
    const password = '3b39agg80t7p7aq4djtgyssd5t';
    const client = 'Qx7~kLm.P9vW2rT4yZ8bN3cH6dJ1fGs5';
    const clean = redactor([new Secret(client)], new Map(), (word) => word === password);
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const each =
      (write: (code: number, hex: string) => string, between = '') =>
      (text: string) =>
        Array.from(Buffer.from(text), (code) => write(code, code.toString(16).padStart(2, '0'))).join(between);
    const some = (text: string): string =>
      text.replace(/[aegA-G1-4]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
    const hex = each((_, digits) => digits);
    const dump = (text: string): string => {
      const words = hex(`${text}${'\n'.repeat(text.length % 2)}`).replace(/(..)(..)/g, '$2$1 ');
      return words.replace(/.{1,40}/g, '0000000 $&\n');
    };
    const ways: Readonly<Record<string, (text: string) => string>> = {
      'percent, partly': some,
      'quoted-printable': each((_, digits) => `=${digits.toUpperCase()}`),
      base64,
      'base64 in lines of 8': (text) => base64(text).replace(/.{8}/g, '$&\n'),
      'base64 in lines of 20 in JSON': (text) => base64(text).replace(/.{20}/g, '$&\\n'),
      'base64 in lines in an address': (text) => base64(text).replace(/.{20}/g, '$&%0A'),
      'entities with zeros': each((code) => `&#0000000${code};`),
      'hexadecimal entities with zeros': each((_, digits) => `&#x0000000${digits};`),
      'long escapes': each((_, digits) => `\\U000000${digits}`),
      '%u': each((_, digits) => `%u00${digits}`),
      'U+': each((_, digits) => `U+00${digits}`, ' '),
      octal: each((code) => code.toString(8).padStart(3, '0'), ' '),
      'octal as in C': each((code) => `0${code.toString(8)}`, ', '),
      'od -b': (text) =>
        each((code) => code.toString(8).padStart(3, '0'), ' ')(text).replace(/.{1,64}/g, '0000000 $&\n'),
      hexdump: dump,
      'hexadecimal in lines of 15': (text) => hex(text).replace(/.{15}/g, '$&\n'),
      'hexadecimal in lines of 7 in JSON': (text) => hex(text).replace(/.{7}/g, '$&\\n'),
    };
    // What breaks the lines of these is an encoding of its own.
    const twoDeep = /in JSON|in an address/;
    const left: string[] = [];
    for (const value of [password, client])
      for (const [outer, around] of Object.entries(ways))
        for (const [inner, write] of Object.entries({ nothing: (text: string) => text, ...ways })) {
          if (inner !== 'nothing' && (twoDeep.test(outer) || twoDeep.test(inner))) continue;
          // A line of a dump begins with its offset.
          const text = `log:\n${around(`u:${write(value)}`)} end`;
          if (!clean(text).includes('[secret]')) left.push(`${outer} of ${inner}: ${text}`);
        }
    assert.deepEqual(left, []);
  });

  test('A58: in a long text a secret is found wherever it stands, and however it is written', () => {
    const secret = 'GOCSPX-a8Zk3pQr_Tn5Lm2xY7vW9bC0';
    const clean = redactor([new Secret(secret)], new Map(), () => false);
    const written = {
      'base64 twice': Buffer.from(Buffer.from(secret).toString('base64')).toString('base64'),
      'numbers on lines': `[\n    ${[...Buffer.from(secret)].join(',\n    ')}\n  ]`,
      percent: Buffer.from(secret)
        .toString('hex')
        .replace(/../g, (octet) => `%${octet}`),
    };
    const line = '{"level":30,"msg":"a session ended"}\n';
    for (const [how, text] of Object.entries(written))
      for (const edge of [262_144, 524_288]) {
        // Half of it on either side of where a window ends.
        const lines = line.repeat(edge / line.length + 1).slice(-(edge - text.length / 2));
        const cleaned = clean(`${lines}${text}\n${line}`);
        assert.match(cleaned.slice(lines.length), /^(?:\[\n {4})?\[secret\](?:\n {2}\])?\n\{/, `${how} at ${edge}`);
      }
  });

  test('A58: a long text of any kind takes time by its length', async () => {
    const clean = redactor([new Secret('GOCSPX-a8Zk3pQr_Tn5Lm2xY7vW9bC0')], new Map(), () => false);
    for (const unit of [
      '\\',
      '%25',
      '&#1',
      '0x41,',
      '"1":1,',
      'AAAA\n',
      '00000000: 41\n',
      '1, ',
      'aa ',
      '\\u{',
      '= ',
      '--token\n',
      '-',
      'url: ',
      '?key=',
    ])
      await grows(
        (length) => {
          const text = unit.repeat(length / unit.length);
          return () => clean(text);
        },
        unit,
        [5_000, 20_000, 80_000],
      );
  });

  test('S7: shapes of secrets nobody told us', () => {
    const clean = redactor([]);
    const password = 'abcdefghjkmnpqrs0123456789';
    const grouped = password.replace(/.{4}/g, '$&-');
    for (const text of [
      password,
      password.toUpperCase(),
      grouped,
      grouped.toUpperCase(),
      grouped.replaceAll('-', ' '),
      Buffer.from(`\0alice\0${password}`).toString('base64'),
      Buffer.from(`\0alice\0any words at all`).toString('base64'),
      Buffer.from(`alice:${password}`).toString('base64'),
      Buffer.from(grouped.toUpperCase()).toString('base64'),
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=',
      Buffer.from('the whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw').toString('base64'),
      'postern_0123456789abcdefghjkmnpqrstvwxyz',
      'POSTERN_0123456789ABCDEFGHJKMNPQRSTVWXYZ',
      'postern_0123-4567-89ab-cdef-ghjk-mnpq-rstv-wxyz',
      `eyJ0eXAiOiJKV1Qi.eyJhdWQiOiIwMDAw.c2lnbmF0dXJl`,
    ])
      assert.match(clean(`before ${text} after`), /^before \[secret\] after$/, text);
    for (const [text, gone] of [
      ['http://localhost:7993/consent/WyJhQGIuYyIsMV0.c2lnbmF0dXJl', 'WyJhQGIuYyIsMV0'],
      ['next=http%3A%2F%2Flocalhost%2Fconsent%2FWyJhQGIuYyIsMV0.c2lnbmF0dXJl', 'c2lnbmF0dXJl'],
      ['Authorization: Basic c2hvcnQ6cHc=', 'c2hvcnQ6cHc='],
      ['AUTH PLAIN AGEAYWJjZA==', 'AGEAYWJjZA'],
    ] as const)
      assert.ok(!clean(text).includes(gone), clean(text));
    for (const text of [
      '2026-11-30T14:47:53.120Z 10 20 30 40 50 60 70 80 90 11 12 13',
      'sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'http://localhost:7993/consent/',
    ])
      assert.equal(clean(text), text);
  });

  test('people become numbers', () => {
    const clean = redactor([], new Map([['alice@example.com', 'mailbox-1@example.com']]));
    assert.equal(clean('Alice@Example.com, alice%40example.com.'), 'mailbox-1@example.com, mailbox-1@example.com.');
  });
});
