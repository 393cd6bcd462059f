import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { readAsText } from './plain-text.ts';
import { compileTemplate, renderMessage, type TemplateSource } from './render.ts';

const fill = async (source: TemplateSource, data: Record<string, unknown>) =>
  renderMessage(compileTemplate(source), data);
const html = async (text: string, data: Record<string, unknown>): Promise<string | undefined> =>
  (await fill({ subject: 's', html: text, text: 't' }, data)).html;
const plainTextOf = (text: string): string => {
  const reading = readAsText(text);
  for (let step = reading.next(); ; step = reading.next()) if (step.done === true) return step.value;
};

test('shows values, escaped unless asked otherwise', async () => {
  assert.equal(
    await html('{{a}} {{{a}}} {{& a}} {{ n }}', { a: `<b class="x">&'`, n: 0 }),
    `&lt;b class=&quot;x&quot;&gt;&amp;&#39; <b class="x">&' <b class="x">&' 0`,
  );
  const { subject, text } = await fill({ subject: '{{a}}', html: undefined, text: '{{a}}' }, { a: 'R&D <3' });
  assert.deepEqual([subject, text], ['R&D <3', 'R&D <3']);
});

test('repeats sections, looks outwards, goes deeper, and shows what stands for nothing', async () => {
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
    await html(
      '{{#items}}{{name}}={{price}}@{{shop.name}};{{/items}}{{^none}}empty{{/none}}{{#none}}no{{/none}}',
      data,
    ),
    'a=1@Zoë;b=2@Zoë;empty',
  );
  assert.equal(
    await html('{{#tags}}<{{.}}>{{/tags}}{{#shop}}{{name}}{{/shop}}{{! never shown {{ }}', data),
    '<x><y>Zoë',
  );
  assert.equal(await html('{{^missing}}ok{{/missing}}{{#missing}}no{{/missing}}', data), 'ok');
});

test('a value that is missing is named instead of left out', async () => {
  const missing = (error: unknown): boolean => isError(error, 'outbox.template-data') && error.detail['path'] === 'a.b';
  await assert.rejects(html('{{a.b}}', { a: {} }), missing);
  await assert.rejects(html('{{a.b}}', {}), missing);
  await assert.rejects(html('{{a}}', { a: { x: 1 } }), (error) => isError(error, 'outbox.template-data'));
  await assert.rejects(
    html('{{constructor}}', {}),
    (error) => isError(error, 'outbox.template-data'),
    'nothing inherited',
  );
  await assert.rejects(html('{{#a}}{{length}}{{/a}}', { a: ['x'] }), (error) => isError(error, 'outbox.template-data'));
});

test('a broken template is refused with its line', async () => {
  const wrong = (text: string, line: number): void =>
    assert.throws(
      () => compileTemplate({ subject: 's', html: text, text: undefined }),
      (error) => isError(error, 'outbox.template') && error.detail['line'] === line,
      text,
    );
  wrong('a\n{{#x}}', 2);
  wrong('{{/x}}', 1);
  wrong('\n\n{{#x}}{{/y}}', 3);
  wrong('{{> partial}}', 1);
  wrong('{{=<% %>=}}', 1);
  assert.throws(
    () => compileTemplate({ subject: 's', html: undefined, text: undefined }),
    (error) => isError(error, 'outbox.template'),
  );
});

test('a part has 20,000 tags and no more', async () => {
  const tags = (count: number): Promise<string | undefined> => html('{{!}}'.repeat(count), {});
  assert.equal(await tags(20_000), '');
  await assert.rejects(tags(20_001), (error) => isError(error, 'outbox.template'));
});

test('data cannot add a header, and cannot make the server work without end', async () => {
  await assert.rejects(
    fill({ subject: 'Hi {{name}}', html: undefined, text: 'x' }, { name: 'x\r\nBcc: eve@x.test' }),
    (error) => isError(error, 'outbox.template-data'),
  );
  const many = Array.from({ length: 2000 }, () => 1);
  const nested = '{{#a}}{{#a}}{{#a}}x{{/a}}{{/a}}{{/a}}';
  await assert.rejects(html(nested, { a: many }), (error) => isError(error, 'outbox.template'));
  await assert.rejects(html('{{#a}}{{b}}{{/a}}', { a: many, b: 'x'.repeat(10_000) }), (error) =>
    isError(error, 'outbox.template'),
  );
});

test('escaped data never makes a tag or leaves an attribute, whatever it is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (value) => {
      const out = (await html('<a title="{{v}}">{{v}}</a>', { v: value }))!;
      assert.equal(out.split('<').length, 3);
      assert.equal(out.split('"').length, 3);
    }),
    { verbose: 1 },
  );
});

test('HTML read as text keeps words, links and structure', async () => {
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

test('a tag goes on past what is in quotes, of either kind', () => {
  assert.equal(plainTextOf(`<p><img alt="a > b"> and <img alt='c > d'></p>`), 'a > b and c > d\n');
});

test('reading HTML takes time in proportion to its length, however broken', async () => {
  for (const piece of ['<a href="', '<script>', '<!--', '<p ', '&#', '{{#a}}', '<div>\n\n ', '<', '<a>']) {
    const started = performance.now();
    plainTextOf(piece.repeat(20_000));
    assert.ok(performance.now() - started < 3000, piece);
  }
});

test('A31: a path is bounded, and what it costs to look for it counts', async () => {
  const names = (count: number): string => `x${'.y'.repeat(count - 1)}`;
  const section = (path: string): string => `{{#a}}{{^${path}}}{{/${path}}}{{/a}}`;
  const refused = (error: unknown): boolean => isError(error, 'outbox.template');
  assert.throws(() => compileTemplate({ subject: 's', html: section(names(33)), text: 't' }), refused);
  assert.throws(() => compileTemplate({ subject: 's', html: section('y'.repeat(1001)), text: 't' }), refused);
  assert.throws(() => compileTemplate({ subject: 's', html: '{{a}}'.repeat(20_001), text: 't' }), refused);
  assert.equal(await html(section(names(32)), { a: [0] }), '');
  // Each looks through 32 objects, one inside the other: a million steps are passed before the list has been.
  let deep: unknown = 1;
  for (let depth = 1; depth < 32; depth++) deep = { y: deep };
  await assert.rejects(html(section(names(32)), { a: Array.from({ length: 40_000 }, () => 0), x: deep }), refused);
});

test('A31: whatever is filled in, others get their turn in between', async () => {
  const parts = '{{^x}}{{/x}}'.repeat(400);
  let longest = 0;
  let last = performance.now();
  let next: NodeJS.Immediate;
  const look = (): void => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    next = setImmediate(look);
  };
  look();
  const attempts = Array.from({ length: 20 }, () =>
    assert.rejects(html(`{{#a}}${parts}{{/a}}`, { a: Array.from({ length: 16_000 }, () => 0) })),
  );
  await Promise.all(attempts);
  clearImmediate(next!);
  assert.ok(longest < 500, `${longest} ms at a stretch`);
});
