// Passkeys in a real browser, with a virtual device: added, asked for after the password, a login by itself, a confirmation, and
// removed. Each page on the way is looked at, wide and narrow, light and dark.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDemo } from './demo.mjs';
import { accessibilityProblems, openWindow, overflow } from './chromium.mjs';
import { assertNone, logIn } from './people.mjs';

const FADE_MILLISECONDS = 400;
const SIZES = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
];

// A device that is always there and knows its owner's finger.
async function deviceOf(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    credentials: async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials,
    knowsItsOwner: (isUserVerified) => devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified }),
  };
}

// The open page in every size and both themes; nothing may reach over its edge or be hard to read.
async function look(page, name) {
  for (const size of SIZES) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme });
      // The page follows after a moment, and its colours fade into each other.
      await page.waitForFunction((theme) => document.documentElement.dataset.bsTheme === theme, colorScheme);
      await page.waitForTimeout(FADE_MILLISECONDS);
      const where = `${name} at ${size.width} px, ${colorScheme}`;
      assert.equal(await overflow(page), 0, `${where}: nothing beyond the edge`);
      assert.deepEqual(await accessibilityProblems(page), [], where);
      if (process.env.SCREENSHOTS) {
        mkdirSync(process.env.SCREENSHOTS, { recursive: true });
        await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${size.width}-${colorScheme}.png`), fullPage: true });
      }
    }
  }
  await page.setViewportSize(SIZES[0]);
}

async function logOut(page, url) {
  await page.goto(`${url}/vms`);
  await page.locator('.user-menu summary').click();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL('**/login');
}

async function passkeys(browser) {
  const demo = await startDemo({ host: 'localhost' });
  const { page, troubles, close } = await openWindow(browser);
  try {
    const device = await deviceOf(page);
    await logIn(page, demo.url, demo.customer);
    await page.goto(`${demo.url}/account/security`);
    await look(page, 'security-without');
    await page.getByLabel('Name').fill('laptop');
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
    assert.equal((await device.credentials()).length, 1);
    assert.equal(await page.locator('.recovery-codes li').count(), 10);
    await look(page, 'recovery-codes');
    await page.getByRole('link', { name: 'I have kept them' }).click();
    await page.locator('td', { hasText: 'laptop' }).waitFor();
    await look(page, 'security-with');

    await logOut(page, demo.url);
    await look(page, 'login');
    await page.getByLabel('E-mail').fill(demo.customer.email);
    await page.getByLabel('Password').fill(demo.customer.password);
    await page.locator('form[action="/login"] button[type=submit]').click();
    await page.waitForURL('**/login/code*');
    await look(page, 'login-code');
    await page.getByRole('button', { name: 'Use a passkey' }).click();
    await page.waitForURL('**/vms');

    await logOut(page, demo.url);
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.waitForURL('**/vms');
    await page.goto(`${demo.url}/confirm?back=/account/security`);
    await look(page, 'confirm');
    await page.getByRole('button', { name: 'Use a passkey' }).click();
    await page.waitForURL('**/account/security');
    await page.getByRole('button', { name: 'Set up an app' }).click();
    await page.waitForURL('**/account/security/totp');
    await page.goto(`${demo.url}/organisation`);
    await page.locator('td', { hasText: /^Passkey$/ }).waitFor();
    await look(page, 'members');

    // Without its owner's finger the device signs nothing, and the page says so.
    await logOut(page, demo.url);
    await device.knowsItsOwner(false);
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.locator('[data-passkey-problem]:visible').waitFor();
    await look(page, 'login-problem');
    await device.knowsItsOwner(true);

    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.waitForURL('**/vms');
    await page.goto(`${demo.url}/account/security`);
    await page.getByRole('button', { name: 'Remove laptop' }).click();
    await page.getByRole('button', { name: 'Remove the passkey' }).click();
    await page.locator('.alert', { hasText: 'The passkey was removed.' }).waitFor();
    await logOut(page, demo.url);
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.getByText('This passkey was not accepted.').waitFor();
    await logIn(page, demo.url, demo.customer);
    assertNone(troubles, 'with passkeys');
  } finally {
    await close();
    await demo.stop();
  }
}

export const tests = [['passkeys in a browser with a device', passkeys]];
