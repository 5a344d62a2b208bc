// Runs every test of this folder, some at once, and ends with `N passed, N failed`.
// `node run.mjs WORD` runs those whose name contains the word.
import { openBrowser } from './chromium.mjs';
import { tests as renting } from './renting.mjs';
import { tests as forms } from './forms.mjs';
import { tests as pages } from './pages.mjs';
import { tests as consoles } from './console.mjs';
import { tests as passkeys } from './passkeys.mjs';

// Longer than any of them takes on a slow machine: what takes longer hangs.
const TEST_MILLISECONDS_MAX = 600_000;
// Each has a demo of its own and waits for it more than it computes.
const AT_ONCE = 2;

const wanted = process.argv[2] ?? '';
let passed = 0;
let failed = 0;
const browser = await openBrowser();
// The one that looks at every page is the longest: it does not come last.
const waiting = [...pages, ...renting, ...forms, ...consoles, ...passkeys].filter(([name]) => name.includes(wanted));

async function runTest([name, test]) {
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

async function lane() {
  while (waiting.length > 0) await runTest(waiting.shift());
}

await Promise.all(Array.from({ length: AT_ONCE }, lane));
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
