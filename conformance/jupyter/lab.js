// JupyterLab in a browser: makes a notebook, runs a cell that takes 20 seconds, closes the tab, opens it again after and during the run.
// Usage: node lab.js LAB_URL CHROMIUM SHOTS_DIR NOTEBOOK_FILE; the last line is `ok`.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const [url, executablePath, shots, file] = process.argv.slice(2);
const LINES = 20;
const CODE = `import time\nfor i in range(${LINES}):\n    print('line', i, flush=True)\n    time.sleep(1)`;
const expected = Array.from({ length: LINES }, (_, i) => `line ${i}`);

let current;

(async () => {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });
  const open = async address => {
    const page = current = await context.newPage();
    page.on('pageerror', error => console.log('page error:', error.message));
    await page.goto(address);
    await page.waitForSelector('#jupyterlab-splash', { state: 'detached', timeout: 90000 });
    return page;
  };

  let page = await open(`${url}&reset`);
  await page.waitForSelector('.jp-Launcher');
  await shot(page, '1-launcher');
  await page.click('.jp-LauncherCard[data-category="Notebook"][title^="Python 3"]');
  await page.waitForSelector('.jp-Notebook .jp-CodeCell');
  await page.waitForFunction(() => document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle'), null, { timeout: 90000 });
  await page.click('.jp-Notebook .jp-CodeCell .cm-content');
  await page.keyboard.insertText('6*7');
  await page.keyboard.press('Shift+Enter');
  await page.waitForFunction(() => document.querySelector('.jp-OutputArea-output')?.textContent.trim() === '42', null, { timeout: 60000 });
  await page.click('.jp-Notebook .jp-CodeCell >> nth=1 >> .cm-content');
  await page.keyboard.insertText(CODE);
  await page.keyboard.press('Control+s');
  // The first save asks for a name; the one that is offered will do.
  await page.click('.jp-Dialog .jp-mod-accept');
  await page.waitForSelector('.jp-Dialog', { state: 'detached' });
  await page.waitForTimeout(1500);
  await page.click('[data-command="notebook:run-cell-and-select-next"]');
  await page.waitForFunction(() => document.body.textContent.includes('line 2'), null, { timeout: 60000 });
  await shot(page, '2-running');
  const address = page.url();
  await page.close({ runBeforeUnload: false });
  console.log('the tab is closed while the cell runs');

  // The file gets every line with nobody connected.
  const saved = () => {
    const cells = JSON.parse(fs.readFileSync(file, 'utf8')).cells;
    const texts = cells.flatMap(cell => cell.outputs ?? []).map(output => [].concat(output.text ?? '').join(''));
    return texts.join('').split('\n').filter(line => line.startsWith('line '));
  };
  for (let waited = 0; saved().length < LINES; waited++) {
    assert(waited < 120, `the file has ${saved().length} lines after ${waited / 2} s`);
    await new Promise(resolve => setTimeout(resolve, 500));
  }
  assert.deepStrictEqual(saved(), expected);
  console.log(`the file holds all ${LINES} lines`);

  page = await open(address);
  await page.waitForFunction(
    last => document.querySelector('.jp-Notebook')?.textContent.includes(last), `line ${LINES - 1}`, { timeout: 60000 });
  await page.waitForTimeout(500);
  const shown = await page.$$eval('.jp-OutputArea-output', areas => areas.map(area => area.textContent).join('\n'));
  assert.deepStrictEqual(shown.split('\n').filter(line => line.startsWith('line ')), expected);
  await shot(page, '3-reopened');
  console.log(`the page shows all ${LINES} lines`);

  // The tab is closed once more, and opened again while the cell still runs: the page goes on live.
  const again = CODE.replace("'line'", "'tick'");
  const ticks = Array.from({ length: LINES }, (_, i) => `tick ${i}`);
  const shownTicks = async () => {
    const areas = await page.$$eval('.jp-OutputArea-output', areas => areas.map(area => area.textContent).join('\n'));
    return areas.split('\n').filter(line => line.startsWith('tick '));
  };
  const hasTick = last => page.waitForFunction(
    last => [...document.querySelectorAll('.jp-OutputArea-output')].some(area => area.textContent.split('\n').includes(last)),
    last, { timeout: 60000 });
  await page.waitForFunction(() => document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle'), null, { timeout: 60000 });
  await page.click('.jp-Notebook .jp-CodeCell >> nth=1 >> .cm-content');
  await page.keyboard.press('Escape');
  await page.keyboard.press('b');
  await page.click('.jp-Notebook .jp-CodeCell >> nth=2 >> .cm-content');
  await page.keyboard.insertText(again);
  await page.keyboard.press('Control+s');
  await page.waitForTimeout(1500);
  await page.click('[data-command="notebook:run-cell-and-select-next"]');
  await hasTick('tick 2');
  await page.close({ runBeforeUnload: false });
  page = await open(address);
  await hasTick('tick 2');
  const early = (await shownTicks()).length;
  assert(early < LINES, 'the run was over before the page was open again');
  await hasTick(ticks[LINES - 1]);
  assert.deepStrictEqual(await shownTicks(), ticks);
  await shot(page, '4-live');
  console.log(`opened again with ${early} lines, the page went on to all ${LINES}`);
  // It saves what it shows, and is not told that the file has changed under it.
  await page.waitForFunction(() => document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle'), null, { timeout: 60000 });
  await page.click('.jp-Notebook .jp-CodeCell >> nth=0 >> .cm-content');
  await page.keyboard.press('Control+s');
  await page.waitForTimeout(2000);
  assert.strictEqual(await page.$('.jp-Dialog'), null, 'the page asks what to do about a file that changed');
  const text = fs.readFileSync(file, 'utf8');
  assert(ticks.every(tick => text.includes(`${tick}\\n`)), 'the file lacks lines of the live page');
  await browser.close();
  console.log('ok');
  process.exit(0);
})().catch(async error => {
  console.error(error);
  await current?.screenshot({ path: path.join(shots, 'failed.png') }).catch(() => {});
  process.exit(1);
});
setTimeout(() => { console.error('took longer than 240 s'); process.exit(1); }, 240000).unref();
