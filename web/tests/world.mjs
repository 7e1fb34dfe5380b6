// What the tests stand on: a server of its own with an empty data folder, and a browser that reaches nothing but loopback.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));

export const PHONE = {
  viewport: { width: 390, height: 844 },
  isMobile: true,
  hasTouch: true,
  userAgent: 'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36',
};
export const DESK = { viewport: { width: 1280, height: 900 } };

function binary(name = 'tessera') {
  if (process.env.TESSERA_BIN) return name === 'tessera' ? process.env.TESSERA_BIN : join(dirname(process.env.TESSERA_BIN), name);
  const built = ['release', 'debug'].map((profile) => resolve(here, '../../target', profile, name)).filter(existsSync);
  if (built.length === 0) throw new Error(`there is no ${name} in target/release or target/debug: run \`cargo build -p ${name}\` first, or set TESSERA_BIN`);
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

// A server on a free port with a data folder that goes when it goes. Answers what it greets with.
export async function server(...given) {
  const data = mkdtempSync(join(tmpdir(), 'tessera-web-'));
  // The simulators of the tests listen on ports of their own.
  const options = ['--provider-allow', '127.0.0.1', ...given];
  const child = spawn(binary(), ['--data', data, '--listen', '127.0.0.1:0', '--json', ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.once('exit', done));
  const greeting = await new Promise((done, refuse) => {
    createInterface({ input: child.stdout }).once('line', (line) => done(JSON.parse(line)));
    child.once('error', refuse);
    child.once('exit', (code) => refuse(new Error(`tessera ended with ${code} before it greeted`)));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(late);
    rmSync(data, { recursive: true, force: true });
  };
  return { ...greeting, stop };
}

// A port that nobody listens on.
export function freePort() {
  return new Promise((done, refuse) => {
    const probe = createServer();
    probe.once('error', refuse);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

// What the simulators know their callers by: a new address takes the secrets anew.
const SECRETS = {
  stripe: { api_key: 'sk_test_simulator', webhook_secret: 'whsec_simulator' },
  paypal: { client_id: 'simulator-client', client_secret: 'simulator-secret' },
  monnify: { api_key: 'MK_TEST_SIMULATOR', secret_key: 'SK_TEST_SIMULATOR' },
  zenith: { api_key: 'zenith-simulator' },
  ramp_network: {},
  ramp: { client_id: 'ramp-client', client_secret: 'ramp-secret', webhook_secret: 'ramp-webhook-secret' },
};

// Points the providers of the demonstration to simulators at a port of our own, which do not run yet.
export async function aim(world, port) {
  for (const { id, version, base_url, dialect } of (await api(world, 'GET', '/v1/payment-providers')).items) {
    const url = new URL(base_url);
    url.port = port;
    await api(world, 'PATCH', `/v1/payment-providers/${id}`, { version, base_url: url.href, secrets: SECRETS[dialect] });
  }
}

// The simulators of payment providers at a port, with their webhooks to this server.
export async function simulators(world, port) {
  const child = spawn(binary('sim'), ['--listen', `127.0.0.1:${port}`, '--tessera', world.public_url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.once('exit', done));
  await new Promise((done, refuse) => {
    createInterface({ input: child.stdout }).once('line', done);
    child.once('error', refuse);
    child.once('exit', (code) => refuse(new Error(`sim ended with ${code} before it listened`)));
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => { child.kill('SIGKILL'); return ended; } };
}

// A browser, and the list of what was wrong in any of its pages: errors, violations of the page's policy, requests to elsewhere.
export async function browser() {
  const chrome = await chromium.launch({
    executablePath: process.env.TESSERA_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--headless', '--disable-gpu', '--disable-background-networking', '--no-first-run', '--disable-component-update', '--disable-sync'],
  });
  const wrong = [];
  const context = async (options = DESK, { mayFail = [] } = {}) => {
    const made = await chrome.newContext(options);
    made.setDefaultTimeout(15_000);
    made.on('request', (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (protocol.startsWith('http') && hostname !== '127.0.0.1') wrong.push(`a request left for ${request.url()}`);
    });
    made.on('page', (page) => {
      page.on('console', (message) => {
        if (message.type() !== 'error') return;
        // A browser writes an error for every page that is refused on purpose.
        if (mayFail.some((status) => message.text().includes(`status of ${status}`))) return;
        wrong.push(`${page.url()}: ${message.text()}`);
      });
      page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error.stack}`));
    });
    return made;
  };
  return { context, wrong, close: () => chrome.close() };
}

// Signs a page in by a link, as a person does: opens it, presses the button.
export async function signIn(page, link) {
  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in to Tessera' }).click();
  await page.waitForURL('**/leads');
}

// Asks the API.
export async function api(world, method, path, body) {
  const answer = await fetch(new URL(path, world.public_url), {
    method,
    headers: { authorization: `Bearer ${world.api_key}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

// Leaves details on a card's page, at the pace of a person: a form that comes back at once is taken for a program's.
export async function leave(page, { name, email = '', phone = '', company = '', message = '', consent = true }) {
  await page.waitForTimeout(2_500);
  await page.locator('#f-name').fill(name);
  await page.locator('#f-email').fill(email);
  await page.locator('#f-phone').fill(phone);
  await page.locator('#f-company').fill(company);
  await page.locator('#f-message').fill(message);
  if (consent) await page.locator('input[name=consent]').check();
  await page.locator('form[action*="/details"] button[type=submit]').click();
}
