// Runs every test of this folder, one after the other, and ends with `N passed, N failed`.
// `node run.mjs WORD` runs those whose name contains the word.
import { openBrowser } from './chromium.mjs';
import { tests as renting } from './renting.mjs';
import { tests as forms } from './forms.mjs';
import { tests as pages } from './pages.mjs';
import { tests as consoles } from './console.mjs';
import { tests as passkeys } from './passkeys.mjs';

const TEST_MILLISECONDS_MAX = 240_000;

const wanted = process.argv[2] ?? '';
let passed = 0;
let failed = 0;
const browser = await openBrowser();
for (const [name, test] of [...renting, ...forms, ...pages, ...consoles, ...passkeys]) {
  if (!name.includes(wanted)) continue;
  const began = Date.now();
  let timer;
  const tooLong = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${TEST_MILLISECONDS_MAX / 1000} s`)), TEST_MILLISECONDS_MAX);
  });
  try {
    await Promise.race([test(browser), tooLong]);
    passed += 1;
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${String(error.stack ?? error).replace(/^/gm, '        ')}`);
  } finally {
    clearTimeout(timer);
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
