// The console in a real browser: noVNC draws the screen of the simulated guest, xterm.js its serial line, and the page says
// why when there is nothing to see.
import assert from 'node:assert/strict';
import { startDemo } from './demo.mjs';
import { accessibilityProblems, openWindow, overflow } from './chromium.mjs';
import { assertNone, orderVm, register, waitForState } from './people.mjs';

const CONNECTED = '[data-console][data-state=connected]';
const CLOSED = '[data-console][data-state=closed]';

// How many dots of noVNC's canvas are not black, and a sum that changes with what is drawn.
const drawn = (page) => page.evaluate(() => {
  const canvas = document.querySelector('[data-console-view] canvas');
  if (!canvas || canvas.width < 100) return { lit: 0, sum: 0 };
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let lit = 0;
  let sum = 0;
  for (let index = 0; index < data.length; index += 4) {
    if (data[index] + data[index + 1] + data[index + 2] > 200) {
      lit += 1;
      sum = (sum * 31 + index) % 1_000_000_007;
    }
  }
  return { lit, sum };
});

async function until(page, look, holds, what) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const seen = await look(page);
    if (holds(seen)) return seen;
    assert.ok(Date.now() < deadline, `${what}: ${JSON.stringify(seen)}`);
    await page.waitForTimeout(100);
  }
}

const serialText = (page) => page.evaluate(() => document.querySelector('.xterm-rows')?.innerText ?? '');

async function aConsoleShowsTheScreen(browser) {
  const demo = await startDemo();
  try {
    const { page, troubles, close } = await openWindow(browser);
    await register(page, demo.url, {
      name: 'Ada Customer', email: 'ada@lab.example', password: 'four plain words here', organisation: 'Lab Seven',
    });
    const vm = await orderVm(page, demo.url, { name: 'web-1', plan: 'S' });
    await waitForState(page, 'Running');

    // The button beside the power buttons leads to the screen, where the guest boots up to its login.
    await page.getByRole('link', { name: 'Console' }).click();
    await page.waitForURL('**/console');
    await page.waitForSelector(CONNECTED);
    let before = await until(page, drawn, ({ lit }) => lit > 1000, 'the canvas is not blank');
    await page.keyboard.type('debian');
    before = await until(page, drawn, ({ sum }) => sum !== before.sum, 'typing shows');
    await page.getByRole('button', { name: 'Paste text…' }).click();
    await page.getByRole('textbox', { name: 'Text' }).fill('Hello!');
    await page.getByRole('button', { name: 'Type it' }).click();
    before = await until(page, drawn, ({ sum }) => sum !== before.sum, 'pasted text shows');
    await page.getByRole('button', { name: 'Ctrl-Alt-Del' }).click();
    await until(page, drawn, ({ lit }) => lit < before.lit / 2, 'the guest begins again');
    assert.deepEqual(await accessibilityProblems(page), []);

    // The serial line: a prompt, an echo, an answer.
    await page.getByRole('button', { name: 'Serial' }).click();
    await page.waitForSelector(CONNECTED);
    await until(page, serialText, (text) => text.includes('root@web-1:~#'), 'there is a prompt');
    await page.keyboard.type('hostname\n');
    await until(page, serialText, (text) => /# hostname\s+web-1\s+root@/.test(text), 'what is typed is echoed and answered');
    assert.deepEqual(await accessibilityProblems(page), []);
    assert.equal(new URL(page.url()).search, '?kind=serial');

    // On a telephone everything is still there.
    await page.setViewportSize({ width: 390, height: 844 });
    assert.equal(await overflow(page), 0);
    assert.ok(await page.getByRole('button', { name: 'Screen', exact: true }).isVisible());
    await page.setViewportSize({ width: 1440, height: 900 });

    // Stopped elsewhere: the page says so and starts it again.
    const other = await page.context().newPage();
    await other.goto(vm);
    await other.getByRole('button', { name: 'Shut down' }).first().click();
    await waitForState(other, 'Stopped');
    await page.waitForSelector(CLOSED);
    await page.getByText('web-1 is stopped. Start it to open its console.').waitFor();
    assert.deepEqual(await accessibilityProblems(page), []);
    await page.getByRole('button', { name: 'Start web-1' }).click();
    await page.waitForSelector(CONNECTED, { timeout: 60_000 });
    assertNone(troubles, 'on the page of the console');
    await close();
  } finally {
    assert.equal(await demo.stop(), 0, 'the demo stops cleanly');
  }
}

export const tests = [['a console shows the screen', aConsoleShowsTheScreen]];
