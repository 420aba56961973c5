// The built site in a real Chromium (issue: the site is for people). Started by ./run, which builds the sites and names them in
// SITE_FIXTURE (a book with a passing and a failing guide) and SITE_BOOK (the project's own book).
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { createRequire } from 'node:module';
import puppeteer from 'puppeteer-core';

const require = createRequire(import.meta.url);
const AXE = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const PAGE_TIMEOUT_MS = 30_000;
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2', '.xml': 'application/xml', '.txt': 'text/plain',
};
const SITES = { fixture: process.env.SITE_FIXTURE, book: process.env.SITE_BOOK };
const FIXTURE_PAGES = ['index.html', 'passing.html', 'failing.html', 'status.html'];

let browser, server, origin, profile;

before(async () => {
  for (const [name, dir] of Object.entries(SITES)) assert.ok(dir, `the ${name} site's folder is not given: start the suite by ./run`);
  server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const [, site, ...rest] = path.split('/');
    try {
      let file = join(SITES[site] ?? '/nonexistent', ...rest);
      if ((await stat(file)).isDirectory()) file = join(file, 'index.html');
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  origin = `http://127.0.0.1:${server.address().port}`;
  profile = await mkdtemp(join(tmpdir(), 'runbook-browser-'));
  browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    headless: true,
    userDataDir: profile,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  server?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
});

/** Opens a page and gathers what must not happen: console errors, failed or off-origin requests. */
async function open(path, { width = 1280, height = 900, theme, script = true, media } = {}) {
  const page = await browser.newPage();
  const problems = [];
  page.setDefaultTimeout(PAGE_TIMEOUT_MS);
  await page.setViewport({ width, height, deviceScaleFactor: 1 });
  if (media) await page.emulateMediaType(media);
  await page.setJavaScriptEnabled(script);
  if (theme && script) await page.evaluateOnNewDocument((name) => localStorage.setItem('mdbook-theme', name), theme);
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`script: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('data:') && !url.startsWith('blob:')) problems.push(`off-origin: ${url}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400 && !response.url().endsWith('/favicon.ico')) problems.push(`${response.status()}: ${response.url()}`);
  });
  await page.goto(`${origin}/${path}`, { waitUntil: 'networkidle0', timeout: PAGE_TIMEOUT_MS });
  return { page, problems };
}

/** Every page of a site that its sidebar or status page leads to. */
async function pagesOf(site, from) {
  const { page } = await open(`${site}/${from}`);
  const links = await page.$$eval('a[href]', (anchors) => anchors.map((anchor) => anchor.href.split('#')[0]));
  await page.close();
  const prefix = `${origin}/${site}/`;
  return [...new Set(links.filter((link) => link.startsWith(prefix) && link.split('?')[0].endsWith('.html'))
    .map((link) => link.slice(prefix.length).split('?')[0]))].sort();
}

async function overflow(page) {
  return page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return [];
    return [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > limit + 1)
      .slice(0, 5).map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)} > ${limit}`);
  });
}

test('every page of the book loads with no console error and no request off-origin', async () => {
  const pages = new Set([...await pagesOf('book', 'index.html'), ...await pagesOf('book', 'status.html')]);
  assert.ok(pages.size >= 10, `only ${pages.size} pages were found`);
  for (const path of pages) {
    const { page, problems } = await open(`book/${path}`);
    assert.deepEqual(problems, [], path);
    await page.close();
  }
});

test('the fixture has a failing, a passing and a blocked step, each with its state on its card', async () => {
  const { page, problems } = await open('fixture/failing.html');
  const states = await page.$$eval('[data-runbook-id]', (cards) => cards.map((c) => [c.dataset.runbookId, c.dataset.state, c.dataset.profile, c.id]));
  assert.deepEqual(states, [
    ['failing#install/models', 'failed', 'lab', 'install/models'],
    ['failing#install/after', 'blocked', 'lab', 'install/after'],
    ['failing#install/wide', 'passed', 'lab', 'install/wide'],
  ]);
  assert.deepEqual(problems, []);
  await page.close();
});

test('a failed step is visible, says what differs, and its evidence opens and closes by keyboard', async () => {
  const { page } = await open('fixture/failing.html');
  const failed = await page.$('[data-state="failed"]');
  const text = await failed.evaluate((card) => card.innerText);
  assert.match(text, /failed/i, 'the word, not only a colour');
  assert.match(text, /qwen3:4b/, 'the expectation that does not hold is readable without a click');
  const summaries = await failed.$$('summary');
  assert.ok(summaries.length > 0, 'evidence stands in <details>');
  const summary = summaries.at(-1);
  const isOpen = () => summary.evaluate((s) => s.parentElement.open);
  const was = await isOpen();
  // Reach it as a person does: by Tab, from the page's start.
  const marked = await summary.evaluate((s) => { s.dataset.suite = 'here'; return true; });
  assert.ok(marked);
  let reached = false;
  for (let i = 0; i < 400 && !reached; i += 1) {
    await page.keyboard.press('Tab');
    reached = await page.evaluate(() => document.activeElement?.dataset?.suite === 'here');
  }
  assert.ok(reached, 'the summary is reachable by Tab');
  await page.keyboard.press('Enter');
  assert.notEqual(await isOpen(), was);
  await page.keyboard.press('Enter');
  assert.equal(await isOpen(), was);
  await page.close();
});

test('hostile output is shown as text', async () => {
  const { page } = await open('fixture/failing.html');
  const bold = await page.$$eval('[data-state="failed"] b', (elements) => elements.map((e) => e.textContent));
  assert.deepEqual(bold.filter((text) => text.includes('not bold')), []);
  const text = await page.$eval('[data-state="failed"]', (card) => card.textContent);
  assert.match(text, /<b>not bold<\/b>/);
  assert.match(text, /\{\{ hostile \}\}/);
  await page.close();
});

for (const theme of ['light', 'rust', 'coal', 'navy', 'ayu']) {
  for (const width of [360, 1280]) {
    test(`nothing overflows: ${theme}, ${width} px`, async () => {
      for (const path of FIXTURE_PAGES) {
        const { page } = await open(`fixture/${path}`, { width, theme });
        assert.deepEqual(await overflow(page), [], path);
        await page.close();
      }
    });
  }
}

test('everything that matters can be read without JavaScript', async () => {
  const { page } = await open('fixture/failing.html', { script: false });
  const visible = await page.$eval('main', (main) => main.innerText);
  assert.match(visible, /failed/i);
  assert.match(visible, /qwen3:4b/);
  await page.close();
  const status = await open('fixture/status.html', { script: false });
  const text = await status.page.$eval('main', (main) => main.innerText);
  assert.match(text, /A guide that does not hold/);
  assert.match(text, /A guide that holds/);
  await status.page.close();
});

test('a diagram node takes the state of the step it names', async () => {
  const { page } = await open('fixture/passing.html');
  const figure = await page.$('figure svg');
  assert.ok(figure, 'the diagram is drawn');
  const link = await page.$$eval('figure svg a', (anchors) => anchors.map((a) => a.getAttribute('xlink:href') ?? a.getAttribute('href')));
  assert.ok(link.some((href) => href?.endsWith('#look/hello')), `${link}`);
  const drawn = await page.$eval('figure', (f) => f.textContent);
  assert.match(drawn, /✓|passed/);
  await page.close();
});

test('print shows states as words and the evidence', async () => {
  const { page } = await open('fixture/failing.html', { media: 'print' });
  const text = await page.$eval('main', (main) => main.innerText);
  assert.match(text, /failed/i);
  assert.match(text, /passed/i);
  await page.close();
});

for (const theme of ['light', 'rust', 'coal', 'navy', 'ayu']) {
  test(`axe finds no serious violation: ${theme}`, async () => {
    const run = (await pagesOf('fixture', 'failing.html')).find((path) => path.includes('run')) ?? null;
    for (const path of [...FIXTURE_PAGES, ...(run ? [run] : [])]) {
      const { page } = await open(`fixture/${path}`, { theme });
      await page.evaluate(AXE);
      const violations = await page.evaluate(async () => {
        // What mdBook itself renders around the content is not ours to judge here.
        const { violations: found } = await axe.run('main', { resultTypes: ['violations'] });
        return found.filter((v) => ['serious', 'critical'].includes(v.impact))
          .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.failureSummary}`).join(' | ')}`);
      });
      assert.deepEqual(violations, [], `${path} in ${theme}`);
      await page.close();
    }
  });
}
