// Starts the demo as a newcomer would, on free ports and in a folder of its own, and stops it again.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_MILLISECONDS_MAX = 60_000;
const STOP_MILLISECONDS_MAX = 30_000;

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));
const binary = join(target, 'debug/uni-manager');

export async function startDemo({ speed = 1, host } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'uni-manager-browser-'));
  const child = spawn(binary, ['demo', '--listen', '127.0.0.1:0', '--data', data, '--speed', String(speed), ...(host ? ['--host', host] : [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  child.stderr.on('data', (chunk) => (said += chunk));
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  const file = join(data, 'demo.json');
  const deadline = Date.now() + START_MILLISECONDS_MAX;
  while (!existsSync(file) || !said.includes('Uni-Manager demo')) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`the demo did not start:\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const facts = JSON.parse(readFileSync(file, 'utf8'));
  return {
    ...facts,
    data,
    said: () => said,
    async stop() {
      child.kill('SIGINT');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MILLISECONDS_MAX);
      const code = await ended;
      clearTimeout(late);
      rmSync(data, { recursive: true, force: true });
      return code;
    },
  };
}
