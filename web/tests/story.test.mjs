// The whole story: somebody signs in, a stranger opens the card on a phone and leaves their details, and the owner sees it happen.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { browser, DESK, leave, PHONE, server, signIn } from './world.mjs';

describe('from a scan to a told owner', { timeout: 180_000 }, () => {
  let world;
  let chrome;
  let desk;
  let leads;
  const at = (path) => new URL(path, world.public_url).href;
  const code = () => new URL(world.card_url).pathname.slice(1);

  before(async () => {
    world = await server();
    chrome = await browser();
    desk = await chrome.context(DESK);
    leads = await desk.newPage();
  });

  after(async () => {
    await chrome?.close();
    await world?.stop();
  });

  it('whoever is not signed in is sent to sign in', async () => {
    await leads.goto(at('/leads'));
    assert.equal(new URL(leads.url()).pathname, '/sign-in');
    assert.equal(new URL(leads.url()).searchParams.get('next'), '/leads');
  });

  it('the link signs in once, and only when its button is pressed', async () => {
    const looks = await fetch(world.sign_in_url);
    assert.equal(looks.status, 200);
    assert.equal(looks.headers.get('set-cookie'), null, 'a program that opens the link takes nothing away');
    await signIn(leads, world.sign_in_url);
    await leads.getByRole('heading', { name: 'No leads yet' }).waitFor();
    const stranger = await chrome.context(DESK, { mayFail: [409] });
    const page = await stranger.newPage();
    await page.goto(world.sign_in_url);
    const [answer] = await Promise.all([page.waitForResponse((r) => r.request().method() === 'POST'), page.getByRole('button').click()]);
    assert.equal(answer.status(), 409);
    await page.getByRole('alert').getByText('used already').waitFor();
    await stranger.close();
  });

  it('a stranger leaves their details on a phone, and the lead appears on the open page without reloading', async () => {
    await leads.locator('#live').waitFor({ state: 'visible' });
    await leads.evaluate(() => { window.neverReloaded = true; });
    const phone = await chrome.context(PHONE);
    const card = await phone.newPage();
    await card.goto(world.card_url);
    await card.getByRole('heading', { name: 'Ada Lovelace' }).waitFor();
    await leave(card, { name: 'Grace Hopper', email: 'grace@example.com', company: 'Navy', message: 'About the compiler' });
    await card.waitForURL('**/thanks*');
    const row = leads.locator('#leads li').filter({ hasText: 'Grace Hopper' });
    await row.waitFor({ timeout: 5_000 });
    assert.equal(await leads.evaluate(() => window.neverReloaded), true);
    await leads.locator('#counts a[aria-current] b').filter({ hasText: '1' }).waitFor();
    assert.match(await leads.locator('#said').textContent(), /New lead: Grace Hopper/);
    await phone.close();
  });

  it('without script somebody can leave their details too', async () => {
    const plain = await chrome.context({ ...PHONE, javaScriptEnabled: false });
    const card = await plain.newPage();
    await card.goto(world.card_url);
    await leave(card, { name: 'Hedy Lamarr', phone: '+43 1 234567' });
    await card.waitForURL('**/thanks*');
    await leads.locator('#leads li').first().filter({ hasText: 'Hedy Lamarr' }).waitFor({ timeout: 5_000 });
    await plain.close();
  });

  it('a form with mistakes keeps what was typed and says what is wrong', async () => {
    const phone = await chrome.context(PHONE, { mayFail: [422] });
    const card = await phone.newPage();
    await card.goto(world.card_url);
    await card.locator('form[action*="/details"]').evaluate((form) => { form.noValidate = true; });
    await leave(card, { name: 'Katherine Johnson', email: 'katherine@', message: 'Orbits', consent: false });
    await card.locator('#e-email').waitFor();
    await card.locator('#e-consent').waitFor();
    assert.equal(await card.locator('#f-name').inputValue(), 'Katherine Johnson');
    assert.equal(await card.locator('#f-email').inputValue(), 'katherine@');
    assert.equal(await card.locator('#f-message').inputValue(), 'Orbits');
    await leave(card, { name: 'Katherine Johnson', email: 'katherine@example.com', message: 'Orbits' });
    await card.waitForURL('**/thanks*');
    await leads.locator('#leads li').filter({ hasText: 'Katherine Johnson' }).waitFor({ timeout: 5_000 });
    await phone.close();
  });

  it('the owner is told by mail, and the visitor gets the card', async () => {
    const page = await desk.newPage();
    await until(async () => {
      await page.goto(world.mailbox_url);
      const text = await page.locator('body').textContent();
      return text.includes('ada@example.com') && text.includes('grace@example.com');
    });
    await page.close();
  });

  it('the scans are counted on the page of the code', async () => {
    const page = await desk.newPage();
    await page.goto(at(`/codes/${code()}`));
    const total = page.locator('#scans [data-total]');
    await until(async () => Number(await total.textContent()) >= 1);
    const before = Number(await total.textContent());
    await page.evaluate(() => { window.neverReloaded = true; });
    const phone = await chrome.context({ ...PHONE, userAgent: PHONE.userAgent.replace('Pixel 9', 'Pixel 8'), locale: 'pt-BR' });
    const card = await phone.newPage();
    await card.goto(world.card_url);
    await until(async () => Number(await total.textContent()) > before);
    assert.equal(await page.evaluate(() => window.neverReloaded), true);
    await phone.close();
    await page.close();
  });

  it('a lead is worked on: status, note, tag, and a page that is out of date is told so', async () => {
    const one = await desk.newPage();
    await leads.getByRole('link', { name: /Grace Hopper/ }).first().click();
    await leads.waitForURL('**/leads/lead_*');
    await one.goto(leads.url());
    await leads.getByRole('button', { name: 'Contacted' }).click();
    await leads.getByRole('status').filter({ hasText: 'Saved.' }).waitFor();
    await leads.locator('.head .pill.contacted').waitFor();
    await leads.getByLabel('A new note').fill('Rang her.\nShe rings back.');
    await leads.getByRole('button', { name: 'Add note' }).click();
    await leads.getByText('She rings back.').waitFor();
    await leads.getByLabel('A new tag').fill('Trade Fair');
    await leads.getByRole('button', { name: 'Add', exact: true }).click();
    await leads.getByRole('link', { name: 'trade fair' }).waitFor();
    const known = chrome.wrong.length;
    await one.getByRole('button', { name: 'Won' }).click();
    await one.getByRole('alert').getByText('Somebody changed this').waitFor();
    chrome.wrong.splice(known);
    assert.equal(await one.locator('.head .pill.contacted').count(), 1);
    await one.close();
    await leads.goto(at('/leads'));
  });

  it('with the keyboard alone somebody sets a password, signs out and signs in again', async () => {
    const page = await desk.newPage();
    await page.goto(at('/settings'));
    await page.getByLabel('New password').focus();
    await page.keyboard.type('analytical engines');
    await page.keyboard.press('Enter');
    await page.getByRole('status').filter({ hasText: 'The password is set' }).waitFor();
    await page.close();

    const other = await chrome.context(DESK, { mayFail: [401] });
    const fresh = await other.newPage();
    await fresh.goto(at('/codes'));
    await fresh.keyboard.press('Tab');
    await fresh.keyboard.press('Tab');
    const type = async (text) => { await fresh.keyboard.type(text); await fresh.keyboard.press('Tab'); };
    await fresh.locator('#email').focus();
    await type('ada@example.com');
    await fresh.keyboard.type('not the password');
    await fresh.keyboard.press('Enter');
    await fresh.getByRole('alert').getByText('wrong').waitFor();
    assert.equal(await fresh.locator('#email').inputValue(), 'ada@example.com');
    assert.equal(await fresh.evaluate(() => document.activeElement.id), 'password', 'the cursor waits at the password');
    await fresh.keyboard.type('analytical engines');
    await fresh.keyboard.press('Enter');
    await fresh.waitForURL('**/codes');
    await fresh.getByRole('heading', { name: 'Codes' }).waitFor();
    // The first stop of the keyboard is the link over the bar.
    await fresh.keyboard.press('Tab');
    assert.equal(await fresh.evaluate(() => document.activeElement.className), 'skip');
    await fresh.keyboard.press('Enter');
    assert.equal(await fresh.evaluate(() => document.activeElement.id), 'main');
    await other.close();
  });

  it('in the dark the pages are dark', async () => {
    const page = await desk.newPage();
    await page.emulateMedia({ colorScheme: 'dark' });
    for (const address of [at('/leads'), world.card_url]) {
      await page.goto(address);
      const [red, green, blue] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.ok(red + green + blue < 120, `${address} is ${red} ${green} ${blue}`);
      const picture = await page.screenshot();
      assert.ok(picture.length > 5_000);
    }
    await page.close();
  });

  it('nothing was wrong in any page, and nothing left this machine', () => {
    assert.deepEqual(chrome.wrong, []);
  });
});

// Waits for what comes by itself within some seconds.
async function until(holds) {
  const end = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ten seconds: ${holds}`);
    await new Promise((done) => setTimeout(done, 150));
  }
}
