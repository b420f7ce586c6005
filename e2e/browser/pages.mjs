// Drives the sign-in pages as a person does. Settings come as JSON on standard
// input; each scenario ends with one line of JSON on standard output.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium } from 'playwright-core';

const settings = JSON.parse(readFileSync(0, 'utf8'));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const authorize = `${settings.issuer}/authorize?`;

const browser = await chromium.launch({
  executablePath: settings.chromium,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
    `--host-resolver-rules=${settings.rules}`,
    `--ignore-certificate-errors-spki-list=${settings.keys}`,
  ],
});

const assert = (ok, text) => { if (!ok) throw new Error(text); };

// fresh is a browser that nobody has used, and a list of what it complains of.
async function fresh(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  const complaints = [];
  const page = await context.newPage();
  context.on('console', (message) => {
    const text = message.text();
    // A status that says no is reported too; that is no complaint.
    if (['error', 'warning'].includes(message.type()) && !text.startsWith('Failed to load resource')) complaints.push(text);
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  return { context, page, complaints };
}

const heading = (page) => page.getByRole('heading', { level: 1 }).innerText();

async function expectHeading(page, text) {
  await page.getByRole('heading', { level: 1, name: text, exact: true }).waitFor();
}

async function signIn(page, user = 'alice', password = settings.password) {
  await expectHeading(page, 'Sign in');
  await page.getByLabel('User name').fill(user);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

const scenarios = {
  async 'password, consent, code'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await signIn(page);
    await expectHeading(page, 'Allow access?');
    await press(page, 'Allow');
    await expectHeading(page, 'The app got code');
    assert(await page.locator('#referer').innerText() === '', 'AZ-11 the app learns where the person came from');
    await page.goto(authorize + settings.query); // remembered
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'signed out and in again where consent is remembered'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await signIn(page); // of the scenario before: the form ends at the app
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'an app that leads on to another host'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.onward);
    await signIn(page, 'dora');
    await expectHeading(page, 'Allow access?');
    await press(page, 'Allow');
    await expectHeading(page, 'The app got code');
    assert(page.url().startsWith('https://www.example.com/home?'), `it ends at ${page.url()}`);
    await context.clearCookies();
    await page.goto(authorize + settings.onward);
    await signIn(page, 'dora');
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'a provider'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await page.getByRole('link', { name: 'Continue with Example Corp' }).click();
    await expectHeading(page, 'Example Corp');
    await press(page, 'I am Bob');
    await expectHeading(page, 'Allow access?');
    assert((await page.locator('main').innerText()).includes('corp:4711'), 'it does not say who is signed in');
    await press(page, 'Allow');
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'a provider that says no'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await page.getByRole('link', { name: 'Continue with Example Corp' }).click();
    await press(page, 'Cancel');
    await expectHeading(page, 'This did not work');
    await page.getByRole('link', { name: 'Try again' }).click();
    await expectHeading(page, 'Sign in');
    await context.close();
    return complaints;
  },

  async 'denial'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.wide);
    await signIn(page);
    await press(page, 'Do not allow');
    await expectHeading(page, 'The app got access_denied');
    await context.close();
    return complaints;
  },

  async 'a request that is no good'() {
    const { context, page, complaints } = await fresh();
    const answer = await page.goto(authorize + settings.unknown);
    await expectHeading(page, 'This did not work');
    assert(page.url().startsWith(settings.issuer), 'BC-4 it leads elsewhere');
    const text = await page.locator('main').innerText();
    assert(text.includes(answer.headers()['request-id']), 'the page does not name its request');
    assert(!text.includes('nobody'), 'the page repeats what was sent');
    await context.close();
    return complaints;
  },

  async 'a wrong password'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.wide);
    await signIn(page, 'alice', 'not the password of alice');
    await page.getByRole('alert').waitFor();
    assert((await page.title()).startsWith('Error: '), `the title is ${await page.title()}`);
    const focus = await page.evaluate(() => document.activeElement.className);
    assert(focus === 'problem', `the focus is on "${focus}"`);
    assert(await page.getByLabel('User name').inputValue() === 'alice', 'the name has to be typed again');
    assert(await page.getByLabel('Password').inputValue() === '', 'the password is in the page');
    await signIn(page);
    await expectHeading(page, 'Allow access?');
    await context.close();
    return complaints;
  },

  async 'the back button'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.wide);
    await signIn(page);
    await expectHeading(page, 'Allow access?');
    await page.goBack();
    // The page of before, or what follows from who is signed in now: both lead on.
    if (await heading(page) === 'Sign in') await signIn(page);
    await expectHeading(page, 'Allow access?');
    await page.reload();
    await press(page, 'Do not allow');
    await expectHeading(page, 'The app got access_denied');
    await page.goBack();
    await expectHeading(page, 'Allow access?');
    await press(page, 'Do not allow');
    await expectHeading(page, 'The app got access_denied');
    await context.close();
    return complaints;
  },

  async 'a button that is pressed twice'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await page.getByLabel('User name').fill('dora');
    await page.getByLabel('Password').fill(settings.password);
    await page.getByRole('button', { name: 'Sign in' }).dblclick();
    await page.waitForLoadState();
    if (await heading(page) === 'Allow access?') await page.getByRole('button', { name: 'Allow', exact: true }).dblclick();
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'two tabs'() {
    const { context, page, complaints } = await fresh();
    const other = await context.newPage();
    await page.goto(authorize + settings.wide);
    await other.goto(authorize + settings.wide);
    await signIn(page);
    await signIn(other);
    await expectHeading(other, 'Allow access?');
    await press(page, 'Do not allow'); // of a session that ended: asked again
    await expectHeading(page, 'Allow access?');
    await press(page, 'Do not allow');
    await expectHeading(page, 'The app got access_denied');
    await press(other, 'Do not allow');
    await expectHeading(other, 'The app got access_denied');
    await context.close();
    return complaints;
  },

  async 'without script'() {
    const { context, page, complaints } = await fresh({ javaScriptEnabled: false });
    await page.goto(authorize + settings.wide);
    await signIn(page);
    await expectHeading(page, 'Allow access?');
    await press(page, 'Allow');
    await expectHeading(page, 'The app got code');
    await page.goto(`${settings.issuer}/account`);
    await expectHeading(page, 'Your account');
    await page.getByRole('button', { name: 'Remove Travel Planner' }).click();
    await page.getByRole('status').waitFor();
    await press(page, 'Sign out');
    await expectHeading(page, 'You are signed out');
    await context.close();
    return complaints;
  },

  async 'keys alone'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.query);
    await page.keyboard.press('Tab');
    await page.keyboard.type('alice');
    await page.keyboard.press('Tab');
    await page.keyboard.type(settings.password);
    await page.keyboard.press('Enter');
    await expectHeading(page, 'Allow access?');
    await page.keyboard.press('Tab');
    const first = await page.evaluate(() => document.activeElement.textContent);
    assert(first === 'Allow', `the first stop is "${first}"`);
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
    assert(parseFloat(ring) >= 2, `the ring around it is ${ring} wide`);
    await page.keyboard.press('Enter');
    await expectHeading(page, 'The app got code');
    await context.close();
    return complaints;
  },

  async 'somebody else'() {
    const { context, page, complaints } = await fresh();
    await page.goto(authorize + settings.wide);
    await signIn(page);
    await press(page, 'Sign in as somebody else');
    await signIn(page, 'dora');
    await expectHeading(page, 'Allow access?');
    assert((await page.locator('main').innerText()).includes('local:dora'), 'it is not dora');
    await context.close();
    return complaints;
  },
};

// The pages, each with the way to it.
const pages = {
  async 'sign-in'(page) { await page.goto(authorize + settings.wide); await expectHeading(page, 'Sign in'); },
  async 'wrong-password'(page) { await this['sign-in'](page); await signIn(page, 'zoe', 'not the password of zoe'); await page.getByRole('alert').waitFor(); },
  async 'consent'(page) { await this['sign-in'](page); await signIn(page, 'dora'); await expectHeading(page, 'Allow access?'); },
  async 'failed'(page) { await page.goto(authorize + settings.unknown); await expectHeading(page, 'This did not work'); },
  async 'provider-failed'(page) {
    await this['sign-in'](page);
    await page.getByRole('link', { name: 'Continue with Example Corp' }).click();
    await press(page, 'Cancel');
    await expectHeading(page, 'This did not work');
  },
  async 'account'(page) { await page.goto(`${settings.issuer}/account`); await signIn(page, 'dora'); await expectHeading(page, 'Your account'); },
  async 'sign-out'(page) { await this.account(page); await page.goto(`${settings.issuer}/logout`); await expectHeading(page, 'Sign out?'); },
  async 'signed-out'(page) { await page.goto(`${settings.issuer}/logout`); await expectHeading(page, 'You are signed out'); },
};

const screens = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 }, narrow: { width: 320, height: 640 } };

for (const [screen, viewport] of Object.entries(screens)) {
  for (const colorScheme of screen === 'narrow' ? ['light'] : ['light', 'dark']) {
    scenarios[`accessible: ${screen}, ${colorScheme}`] = async () => {
      const all = [];
      for (const name of Object.keys(pages)) {
        const { context, page, complaints } = await fresh({ viewport, colorScheme });
        await pages[name](page);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => axe.run());
        for (const v of violations.filter((v) => ['serious', 'critical', 'moderate'].includes(v.impact))) {
          all.push(`${name}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`);
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) all.push(`${name}: it is ${wide} pixels too wide`);
        const small = await page.evaluate(() => [...document.querySelectorAll('input:not([type=hidden])')].filter((i) => parseFloat(getComputedStyle(i).fontSize) < 16).length);
        if (small > 0) all.push(`${name}: ${small} fields have small letters, which phones enlarge`);
        await page.screenshot({ path: path.join(settings.pictures, `${name}-${screen}-${colorScheme}.png`), fullPage: true });
        await context.close();
        all.push(...complaints);
      }
      return all;
    };
  }
}

try {
  for (const [name, run] of Object.entries(scenarios)) {
    let error = '';
    try {
      const complaints = await run();
      if (complaints.length > 0) error = `the browser complains: ${complaints.join('\n')}`;
    } catch (e) {
      error = String(e.stack ?? e);
      for (const context of browser.contexts()) await context.close();
    }
    console.log(JSON.stringify({ name, error }));
  }
} finally {
  await browser.close();
}
