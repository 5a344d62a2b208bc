// Wrong input: the message stands at the field and what was typed is kept. And the portal without JavaScript.
import assert from 'node:assert/strict';
import { startDemo } from './demo.mjs';
import { openWindow } from './chromium.mjs';
import { assertNone, logIn, orderVm, register, waitForState } from './people.mjs';

async function wrongInput(browser) {
  const demo = await startDemo();
  try {
    const { page, troubles, close } = await openWindow(browser);
    await page.goto(`${demo.url}/register`);
    await page.getByLabel('Your name').fill('Ada Customer');
    await page.getByLabel('E-mail').fill('not an address');
    await page.getByLabel('Password').fill('short');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.locator('#email-problem').waitFor();
    await page.locator('#password-problem').waitFor();
    assert.equal(await page.getByLabel('Your name').inputValue(), 'Ada Customer', 'what was typed is kept');
    assert.equal(await page.getByLabel('Password').inputValue(), '', 'a password is not sent back');

    await page.goto(`${demo.url}/login`);
    await page.getByLabel('E-mail').fill(demo.customer.email);
    await page.getByLabel('Password').fill('wrong password');
    await page.locator('form[action="/login"] button[type=submit]').click();
    await page.getByText('The e-mail address or the password is wrong.').waitFor();

    await logIn(page, demo.url, demo.customer);
    await page.goto(`${demo.url}/vms/new`);
    await page.locator('#name').fill('wrong_name');
    await page.locator('#new_key').fill('ssh-ed25519 broken');
    await page.locator('#new-vm button[type=submit]').first().click();
    await page.locator('#name-problem').waitFor();
    await page.locator('#new_key').fill('ssh-ed25519 broken');
    assert.equal(await page.locator('#name').inputValue(), 'wrong_name', 'what was typed is kept');
    await page.locator('#name').fill('web-1');
    await page.locator('#new-vm button[type=submit]').first().click();
    await page.locator('#new_key-problem').waitFor();
    assertNone(troubles, 'with wrong input');
    await close();
  } finally {
    await demo.stop();
  }
}

async function notEnoughCredit(browser) {
  const demo = await startDemo();
  try {
    const { page, close } = await openWindow(browser);
    await logIn(page, demo.url, demo.customer);
    await page.goto(`${demo.url}/vms/new`);
    const large = page.locator('label.plan', { has: page.locator('.plan-name', { hasText: /^L$/ }) });
    assert.equal(await large.locator('input').isDisabled(), true, 'a plan that the credit does not carry cannot be chosen');
    assert.notEqual((await large.locator('.plan-why').innerText()).trim(), '', 'and says why');
    await close();
  } finally {
    await demo.stop();
  }
}

async function withoutJavaScript(browser) {
  const demo = await startDemo();
  try {
    const { page, close } = await openWindow(browser, { javaScriptEnabled: false });
    await register(page, demo.url, { name: 'Plain Reader', email: 'plain@lab.example', password: 'four plain words here', organisation: 'Plain' });
    const vm = await orderVm(page, demo.url, { name: 'plain-1', plan: 'S' });
    for (let tries = 0; tries < 60 && (await page.locator('main .pill', { hasText: 'Running' }).count()) === 0; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await page.goto(vm);
    }
    await waitForState(page, 'Running', 1_000);
    await close();
  } finally {
    await demo.stop();
  }
}

export const tests = [
  ['wrong input is answered at the field and what was typed is kept', wrongInput],
  ['a plan that the credit does not carry says why', notEnoughCredit],
  ['a VM can be rented without JavaScript', withoutJavaScript],
];
