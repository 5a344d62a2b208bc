// What people do on the pages, in their words.
import assert from 'node:assert/strict';

export const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmQ1vR0M0OIEmZrIBxJ2oQBYRRv9ztO7Ye4ZNyEZC9L laptop';

export async function register(page, url, { name, email, password, organisation }) {
  await page.goto(`${url}/register`);
  await page.getByLabel('Your name').fill(name);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByLabel('Organisation').fill(organisation);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.waitForURL('**/vms');
}

export async function logIn(page, url, { email, password }) {
  await page.goto(`${url}/login`);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.locator('form[action="/login"] button[type=submit]').click();
  await page.waitForURL((at) => !at.pathname.startsWith('/login'));
}

// Orders a VM and answers with its address on the portal.
export async function orderVm(page, url, { name, plan, key = PUBLIC_KEY }) {
  await page.goto(`${url}/vms/new`);
  await page.locator('label.plan', { has: page.locator('.plan-name', { hasText: new RegExp(`^${plan}$`) }) }).click();
  if (key) {
    const box = page.locator('#new_key');
    if (!(await box.isVisible())) await page.locator('details:has(#new_key) > summary').click();
    await box.fill(key);
  }
  await page.locator('#name').fill(name);
  await page.locator('#new-vm button[type=submit]').first().click();
  await page.waitForURL(/\/vms\/[0-9a-f-]{36}$/);
  return page.url();
}

// Waits until the open page of a VM says that it is in a state, without loading it again.
export async function waitForState(page, word, milliseconds = 60_000) {
  await page.locator('main .pill', { hasText: word }).first().waitFor({ timeout: milliseconds });
}

export function assertNone(troubles, where) {
  assert.deepEqual(troubles, [], `nothing went wrong ${where}`);
}
