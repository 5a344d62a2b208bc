// Every page, wide and narrow, light and dark: no script errors, nothing refused by the content security policy, nothing
// beyond the edge, and nothing that axe-core finds. With SCREENSHOTS=FOLDER each is kept as a picture; with README_PICTURE=FILE
// the picture of the README is made.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDemo } from './demo.mjs';
import { accessibilityProblems, openWindow, overflow } from './chromium.mjs';
import { assertNone, logIn, orderVm, waitForState } from './people.mjs';

const WINDOWS = [
  { width: 1440, height: 900, dark: false },
  { width: 1440, height: 900, dark: true },
  { width: 390, height: 844, dark: false },
  { width: 390, height: 844, dark: true },
];

// These are walked through in two windows that differ in both.
const FEWER_WINDOWS = [WINDOWS[1], WINDOWS[2]];
const MORE_CUSTOMER_PAGES = ['/prices', '/wallet/ledger', '/wallet/charges', '/wallet/order', '/wallet/invoices', '/account/security', '/api-keys', '/api-keys/new', '/notifications', '/confirm?next=/vms'];
const MORE_ADMIN_PAGES = ['/admin/passes', '/admin/price-lists', '/admin/plans', '/admin/plans/new', '/admin/revenue', '/admin/staff', '/admin/vouchers', '/admin/vouchers/new', '/admin/wallets', '/admin/mails', '/admin/drift', '/admin/foreign-guests', '/admin/invoices'];

async function everyPage(browser) {
  const demo = await startDemo({ speed: 600 });
  try {
    const customerPages = await furnish(browser, demo);
    const adminPages = ['/admin', '/admin/customers', '/admin/clusters', '/admin/clusters/new', '/admin/jobs?status=all', '/admin/audit', '/admin/settings'];
    for (const window of WINDOWS) {
      await walk(browser, demo, window, null, ['/login', '/register', '/nowhere', '/forgot-password', '/reset-password?token=x', '/verify-email?token=x']);
      await walk(browser, demo, window, demo.customer, customerPages);
      await walk(browser, demo, window, demo.admin, [...adminPages, ...(await adminDetails(browser, demo))]);
    }
    for (const window of FEWER_WINDOWS) {
      await walk(browser, demo, window, demo.customer, MORE_CUSTOMER_PAGES);
      await walk(browser, demo, window, demo.admin, MORE_ADMIN_PAGES);
    }
  } finally {
    await demo.stop();
  }
}

// Puts something on the pages, and answers with their paths.
async function furnish(browser, demo) {
  const { page, close } = await openWindow(browser);
  await logIn(page, demo.url, demo.customer);
  const vm = new URL(await orderVm(page, demo.url, { name: 'web-1', plan: 'S' })).pathname;
  await waitForState(page, 'Running');
  // Tags, so that they are on the pages.
  await page.goto(`${demo.url}${vm}/settings`);
  await page.getByRole('textbox', { name: 'Tags' }).fill('production, web');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.flash').waitFor();
  await waitForState(page, 'Running');
  await page.locator('#purse').waitFor();
  // Some hours, so that there is something in the ledger.
  await page.goto(`${demo.url}/wallet`);
  await page.waitForFunction(() => document.querySelectorAll('main table tr').length > 6, null, { timeout: 60_000 });
  if (process.env.README_PICTURE) {
    await page.goto(`${demo.url}${vm}`);
    await page.screenshot({ path: process.env.README_PICTURE });
  }
  await close();
  return ['/vms', '/vms/new', vm, `${vm}/delete`, `${vm}/settings`, `${vm}/resize`, `${vm}/rebuild`, '/ssh-keys', '/wallet', '/audit', '/organisation', '/organisation/roles', '/organisation/roles/new', '/organisation/quotas', '/organisation/settings', '/organisations', '/account', '/account/password', '/account/sessions'];
}

async function adminDetails(browser, demo) {
  const { page, close } = await openWindow(browser);
  await logIn(page, demo.url, demo.admin);
  const details = [];
  for (const [list, prefix] of [['/admin/customers', '/admin/customers/'], ['/admin/clusters', '/admin/clusters/'], ['/admin/jobs?status=all', '/admin/jobs/']]) {
    await page.goto(`${demo.url}${list}`);
    const paths = await page.locator(`main a[href^="${prefix}"]`).evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    const detail = paths.find((path) => /[0-9a-f]{8}-[0-9a-f-]{27}$/.test(path));
    assert.ok(detail, `${list} leads to a detail`);
    details.push(detail);
    if (prefix !== '/admin/clusters/') continue;
    details.push(`${detail}/settings`, `${detail}/vms`);
    await page.goto(`${demo.url}${detail}/vms`);
    details.push(await page.locator('main a[href$="/migrate"]').first().getAttribute('href'));
  }
  await close();
  return details;
}

async function walk(browser, demo, window, person, paths) {
  const { page, troubles, close } = await openWindow(browser, window);
  if (person) await logIn(page, demo.url, person);
  for (const path of paths) {
    await page.goto(`${demo.url}${path}`);
    await page.locator('h1').first().waitFor();
    const where = `${path} at ${window.width} px, ${window.dark ? 'dark' : 'light'}`;
    if (process.env.SCREENSHOTS) await picture(page, window, path);
    assert.ok((await overflow(page)) <= 0, `${where} reaches beyond the right edge`);
    assert.deepEqual(await accessibilityProblems(page), [], `axe-core on ${where}`);
    assertNone(troubles, `on ${where}`);
  }
  await close();
}

async function picture(page, window, path) {
  mkdirSync(process.env.SCREENSHOTS, { recursive: true });
  const name = path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'one').replace(/[^a-z]+/g, '-').replace(/^-|-$/g, '');
  const file = `${name}-${window.width}-${window.dark ? 'dark' : 'light'}.png`;
  await page.screenshot({ path: join(process.env.SCREENSHOTS, file), fullPage: true });
}

async function byKeyboard(browser) {
  const demo = await startDemo();
  try {
    const { page, close } = await openWindow(browser);
    await logIn(page, demo.url, demo.customer);
    await page.goto(`${demo.url}/vms`);
    await page.keyboard.press('Tab');
    assert.match(await page.evaluate(() => document.activeElement.textContent), /skip/i, 'the first stop leads past the navigation');
    await page.keyboard.press('Enter');
    await page.goto(`${demo.url}/vms/new`);
    await page.locator('input[name=plan]:checked').focus();
    const before = await page.locator('input[name=plan]:checked').inputValue();
    await page.keyboard.press('ArrowUp');
    assert.notEqual(await page.locator('input[name=plan]:checked').inputValue(), before, 'plans are chosen with the arrow keys');
    await close();
  } finally {
    await demo.stop();
  }
}

// Swagger UI draws this page; what axe-core finds in it is not ours to mend. Without scripts it is a list of ours.
async function thePageOfTheApi(browser) {
  const demo = await startDemo();
  try {
    for (const window of [WINDOWS[0], WINDOWS[3]]) {
      const { page, troubles, close } = await openWindow(browser, window);
      await page.goto(`${demo.url}/api/docs`);
      // Only what is in sight of the long list is drawn; one finds a group by its name.
      await page.getByPlaceholder('Filter by tag').fill('Description');
      const operation = page.locator('#operations-Description-get_openapi_json');
      await operation.locator('.opblock-summary-control').click();
      await operation.getByRole('button', { name: 'Try it out' }).click();
      await operation.getByRole('button', { name: 'Execute' }).click();
      await operation.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
      assert.ok((await overflow(page)) <= 0, `the page of the API reaches beyond the right edge at ${window.width} px`);
      assertNone(troubles, 'on the page of the API');
      await close();
    }
    const { page, close } = await openWindow(browser, { javaScriptEnabled: false });
    await page.goto(`${demo.url}/api/docs`);
    await page.getByText('POST /vms', { exact: true }).waitFor();
    await close();
  } finally {
    await demo.stop();
  }
}

export const tests = [
  ['every page is whole, wide and narrow, light and dark', everyPage],
  ['the portal is used by keyboard', byKeyboard],
  ['the page of the API lets one try it', thePageOfTheApi],
];
