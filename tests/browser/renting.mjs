// The main story: somebody registers, rents a VM, watches it being billed and shut down at zero, gets credit from the admin
// and sees it run again. The books run an hour a second, everything else at its own pace.
import assert from 'node:assert/strict';
import { startDemo } from './demo.mjs';
import { openWindow } from './chromium.mjs';
import { assertNone, logIn, orderVm, register, waitForState } from './people.mjs';

const LEDGER_SECONDS_MAX = 30_000;

async function theWholeLoop(browser) {
  const demo = await startDemo({ speed: 3600 });
  try {
    const customer = await openWindow(browser);
    await register(customer.page, demo.url, {
      name: 'Ada Customer', email: 'ada@lab.example', password: 'four plain words here', organisation: 'Lab Seven',
    });
    const vm = await orderVm(customer.page, demo.url, { name: 'web-1', plan: 'M' });

    // It is made before our eyes: the page is not loaded again.
    await customer.page.evaluate(() => (globalThis.sameDocument = true));
    await waitForState(customer.page, 'Running');

    // Its hours are charged: the balance in the header falls by itself.
    const balance = () => customer.page.locator('#purse .purse-value').first().innerText();
    const before = await balance();
    await customer.page.waitForFunction(
      (before) => document.querySelector('#purse .purse-value')?.textContent.trim() !== before.trim(), before, { timeout: LEDGER_SECONDS_MAX });

    // At zero it is shut down, and says why.
    await waitForState(customer.page, 'Stopped', 90_000);
    assert.match(await customer.page.locator('main .pill').first().innerText(), /credit/i);
    assert.equal(await customer.page.evaluate(() => globalThis.sameDocument), true, 'the page was never loaded again');
    await customer.page.goto(`${demo.url}/wallet`);
    assert.match(await customer.page.locator('main').innerText(), /run out/i);

    // An admin adds credit.
    const admin = await openWindow(browser);
    await logIn(admin.page, demo.url, demo.admin);
    await admin.page.goto(`${demo.url}/admin/customers?search=ada%40lab.example`);
    await admin.page.getByRole('link', { name: 'Lab Seven' }).first().click();
    const credit = admin.page.locator('form[action$="/credits"]');
    await credit.getByLabel('Amount').fill('20');
    await credit.getByLabel('Reason').fill('Paid by bank transfer');
    await credit.getByRole('button', { name: 'Add credit' }).click();
    await admin.page.locator('.flash').waitFor();

    // It runs again by itself.
    await customer.page.goto(vm);
    await waitForState(customer.page, 'Running');
    await customer.page.goto(`${demo.url}/wallet/ledger`);
    const ledger = await customer.page.locator('main').innerText();
    assert.match(ledger, /Paid by bank transfer/);
    assertNone(customer.troubles, 'on the pages of the customer');
    assertNone(admin.troubles, 'on the pages of the admin');
    await Promise.all([customer.close(), admin.close()]);
  } finally {
    assert.equal(await demo.stop(), 0, 'the demo stops cleanly');
  }
}

async function drivingAVm(browser) {
  const demo = await startDemo({ speed: 60 });
  try {
    const { page, troubles, close } = await openWindow(browser);
    await logIn(page, demo.url, demo.customer);
    await orderVm(page, demo.url, { name: 'db-1', plan: 'XS' });
    await waitForState(page, 'Running');

    await act(page, /^Shut down/);
    await waitForState(page, 'Stopped');
    await act(page, /^Start/);
    await waitForState(page, 'Running');

    // Deleting asks for the name.
    await page.goto(`${page.url()}/delete`);
    await page.locator('main input[name=name]').fill('other');
    await page.locator('main form button[type=submit]').click();
    await page.locator('.problem').first().waitFor();
    await page.locator('main input[name=name]').fill('db-1');
    await page.locator('main form button[type=submit]').click();
    await page.waitForURL('**/vms');
    await page.waitForFunction(() => !document.querySelector('main table')?.textContent.includes('db-1'), null, { timeout: 30_000 });
    assertNone(troubles, 'while driving a VM');
    await close();
  } finally {
    assert.equal(await demo.stop(), 0, 'the demo stops cleanly');
  }
}

async function changingAVm(browser) {
  const demo = await startDemo({ speed: 60 });
  try {
    const { page, troubles, close } = await openWindow(browser);
    await logIn(page, demo.url, demo.customer);
    const vm = await orderVm(page, demo.url, { name: 'app-1', plan: 'S' });
    await waitForState(page, 'Running');

    // Another name: it is on the page without loading it again.
    await page.getByRole('link', { name: 'Settings', exact: true }).click();
    await page.locator('#name').fill('app-2');
    await page.getByRole('textbox', { name: 'Tags' }).fill('staging');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.locator('h1', { hasText: 'app-2' }).waitFor();
    await waitForState(page, 'Running');

    // Another plan, with its price shown before.
    await page.getByRole('link', { name: 'Resize', exact: true }).click();
    await page.locator('label.plan', { has: page.locator('.plan-name', { hasText: /^M$/ }) }).click();
    await page.locator('#grow-words', { hasText: '80 GiB' }).waitFor();
    await page.locator('#cost button', { hasText: 'Resize to M' }).click();
    await page.waitForURL(vm);
    await page.locator('h2', { hasText: 'Being resized' }).waitFor();
    await page.locator('.crumbs', { hasText: '4 vCPU' }).waitFor({ timeout: 60_000 });
    await waitForState(page, 'Running');

    // Another system: only with the name.
    await page.getByRole('link', { name: 'Rebuild & rescue' }).click();
    await page.locator('label.choice', { hasText: 'Ubuntu' }).click();
    await page.locator('#rebuild-name').fill('app-1');
    await page.getByRole('button', { name: 'Rebuild app-2' }).click();
    await page.locator('.problem').first().waitFor();
    await page.locator('#rebuild-name').fill('app-2');
    await page.getByRole('button', { name: 'Rebuild app-2' }).click();
    await page.waitForURL(vm);
    await page.locator('h2', { hasText: 'Being rebuilt' }).waitFor();
    await page.locator('.crumbs', { hasText: 'Ubuntu' }).waitFor({ timeout: 60_000 });
    await waitForState(page, 'Running');
    assertNone(troubles, 'while changing a VM');
    await close();
  } finally {
    assert.equal(await demo.stop(), 0, 'the demo stops cleanly');
  }
}

async function act(page, name) {
  await page.locator('main').getByRole('button', { name }).first().click();
  const sure = page.locator('dialog[open]').getByRole('button', { name });
  if (await sure.count()) await sure.first().click();
}

export const tests = [
  ['somebody rents a VM, runs out of credit, gets credit and has it back', theWholeLoop],
  ['a VM is shut down, started and deleted', drivingAVm],
  ['a VM is renamed, resized and rebuilt', changingAVm],
];
