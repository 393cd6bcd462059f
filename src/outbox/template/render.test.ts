import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { plainTextOf } from './plain-text.ts';
import { checkTemplate, renderMessage } from './render.ts';

const html = (text: string, data: Record<string, unknown>): string | undefined =>
  renderMessage({ subject: 's', html: text, text: 't' }, data).html;

test('shows values, escaped unless asked otherwise', () => {
  assert.equal(
    html('{{a}} {{{a}}} {{& a}} {{ n }}', { a: `<b class="x">&'`, n: 0 }),
    `&lt;b class=&quot;x&quot;&gt;&amp;&#39; <b class="x">&' <b class="x">&' 0`,
  );
  const { subject, text } = renderMessage({ subject: '{{a}}', html: undefined, text: '{{a}}' }, { a: 'R&D <3' });
  assert.deepEqual([subject, text], ['R&D <3', 'R&D <3']);
});

test('repeats sections, looks outwards, goes deeper, and shows what stands for nothing', () => {
  const data = {
    shop: { name: 'Zoë' },
    items: [
      { name: 'a', price: 1 },
      { name: 'b', price: 2 },
    ],
    tags: ['x', 'y'],
    none: [],
  };
  assert.equal(
    html('{{#items}}{{name}}={{price}}@{{shop.name}};{{/items}}{{^none}}empty{{/none}}{{#none}}no{{/none}}', data),
    'a=1@Zoë;b=2@Zoë;empty',
  );
  assert.equal(html('{{#tags}}<{{.}}>{{/tags}}{{#shop}}{{name}}{{/shop}}{{! never shown {{ }}', data), '<x><y>Zoë');
  assert.equal(html('{{^missing}}ok{{/missing}}{{#missing}}no{{/missing}}', data), 'ok');
});

test('a value that is missing is named instead of left out', () => {
  const missing = (error: unknown): boolean => isError(error, 'outbox.template-data') && error.detail['path'] === 'a.b';
  assert.throws(() => html('{{a.b}}', { a: {} }), missing);
  assert.throws(() => html('{{a.b}}', {}), missing);
  assert.throws(
    () => html('{{a}}', { a: { x: 1 } }),
    (error) => isError(error, 'outbox.template-data'),
  );
  assert.throws(
    () => html('{{constructor}}', {}),
    (error) => isError(error, 'outbox.template-data'),
    'nothing inherited',
  );
  assert.throws(
    () => html('{{#a}}{{length}}{{/a}}', { a: ['x'] }),
    (error) => isError(error, 'outbox.template-data'),
  );
});

test('a broken template is refused with its line', () => {
  const wrong = (text: string, line: number): void =>
    assert.throws(
      () => checkTemplate({ subject: 's', html: text, text: undefined }),
      (error) => isError(error, 'outbox.template') && error.detail['line'] === line,
      text,
    );
  wrong('a\n{{#x}}', 2);
  wrong('{{/x}}', 1);
  wrong('\n\n{{#x}}{{/y}}', 3);
  wrong('{{> partial}}', 1);
  wrong('{{=<% %>=}}', 1);
  assert.throws(
    () => checkTemplate({ subject: 's', html: undefined, text: undefined }),
    (error) => isError(error, 'outbox.template'),
  );
});

test('data cannot add a header, and cannot make the server work without end', () => {
  assert.throws(
    () => renderMessage({ subject: 'Hi {{name}}', html: undefined, text: 'x' }, { name: 'x\r\nBcc: eve@x.test' }),
    (error) => isError(error, 'outbox.template-data'),
  );
  const many = Array.from({ length: 2000 }, () => 1);
  const nested = '{{#a}}{{#a}}{{#a}}x{{/a}}{{/a}}{{/a}}';
  assert.throws(
    () => html(nested, { a: many }),
    (error) => isError(error, 'outbox.template'),
  );
  assert.throws(
    () => html('{{#a}}{{b}}{{/a}}', { a: many, b: 'x'.repeat(10_000) }),
    (error) => isError(error, 'outbox.template'),
  );
});

test('escaped data never makes a tag or leaves an attribute, whatever it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const out = html('<a title="{{v}}">{{v}}</a>', { v: value })!;
      assert.equal(out.split('<').length, 3);
      assert.equal(out.split('"').length, 3);
    }),
    { verbose: 1 },
  );
});

test('HTML read as text keeps words, links and structure', () => {
  const text = plainTextOf(
    `<html><head><title>no</title><style>p{}</style></head><body><h1>Hello &amp; welcome</h1>
     <p>Dear <b>Zo&euml;</b>,<br>see <a href="https://x.test/a?b=1&amp;c=2">our page</a> or <a href='https://y.test'>https://y.test</a>.</p>
     <ul><li>one</li><li>two &#8364;</li></ul><script>alert(1)</script><!-- no --><img alt="Logo" src="x">
     <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table></body></html>`,
  );
  assert.equal(
    text,
    'Hello & welcome\n\nDear Zo&euml;,\nsee our page (https://x.test/a?b=1&c=2) or https://y.test.\n\n- one\n- two €\n\nLogo\n\na b\nc\n',
  );
});

test('reading HTML takes time in proportion to its length, however broken', () => {
  for (const piece of ['<a href="', '<script>', '<!--', '<p ', '&#', '{{#a}}', '<div>\n\n ', '<', '<a>']) {
    const started = performance.now();
    plainTextOf(piece.repeat(20_000));
    assert.ok(performance.now() - started < 3000, piece);
  }
});
