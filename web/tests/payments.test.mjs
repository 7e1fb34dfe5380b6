// A person's way through a payment: a link is opened, the simulator is not there and then it is, it is paid on the provider's page,
// the owner sees it, gives a half of it back, hands the provider's report in and works off what does not match in it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { aim, api, browser, DESK, freePort, PHONE, server, signIn, simulators } from './world.mjs';

describe('from a payment link to the settlement', { timeout: 180_000 }, () => {
  let world;
  let sim;
  let chrome;
  let port;
  let payer;
  let owner;
  const at = (path) => new URL(path, world.public_url).href;

  before(async () => {
    world = await server();
    chrome = await browser();
    port = await freePort();
    await aim(world, port);
    payer = await (await chrome.context(PHONE)).newPage();
    owner = await (await chrome.context(DESK)).newPage();
  });

  after(async () => {
    await chrome?.close();
    await sim?.stop();
    await world?.stop();
  });

  it('a page that cannot reach the simulator says so, and how to start it', async () => {
    await payer.goto(world.payment_url);
    await payer.getByText('24.50 EUR', { exact: true }).waitFor();
    await payer.getByLabel(/Email/).fill('grace@example.com');
    await payer.getByRole('button', { name: 'Pay 24.50 EUR' }).click();
    await payer.getByRole('heading', { name: 'The simulator is not running' }).waitFor();
    await payer.getByText('cargo run --release -p sim').waitFor();
  });

  it('once it runs, trying again leads to its page, and paying there leads back to "Paid"', async () => {
    sim = await simulators(world, port);
    await payer.getByRole('button', { name: 'Try again' }).click();
    await payer.waitForURL((url) => url.port === String(port));
    await payer.getByRole('button', { name: /^Pay/ }).click();
    await payer.waitForURL('**/pay/pay_*/back*');
    await payer.getByRole('heading', { name: 'Paid' }).waitFor();
    assert.equal(await payer.locator('input:not([type=hidden])').count(), 0, 'there is nothing to enter');
  });

  it('the owner finds it with what happened, and the entry in the books', async () => {
    await signIn(owner, world.sign_in_url);
    await owner.getByRole('link', { name: 'Payments', exact: true }).click();
    await owner.getByRole('link', { name: /Analytical Engine/ }).click();
    await owner.locator('#state').getByText('Paid', { exact: true }).waitFor();
    await owner.getByText('grace@example.com').waitFor();
    const [entry] = await owner.locator('#postings a').all();
    await entry.click();
    await owner.getByRole('heading', { name: 'Transfer: 24.50 EUR' }).waitFor();
    await owner.goBack();
  });

  it('the payer was told by mail', async () => {
    const page = await owner.context().newPage();
    for (let tries = 0; ; tries += 1) {
      await page.goto(world.mailbox_url);
      const text = await page.locator('body').textContent();
      if (text.includes('grace@example.com') && text.includes('24.50 EUR')) break;
      assert.ok(tries < 50, text);
      await page.waitForTimeout(100);
    }
    await page.close();
  });

  it('a half is given back, once, and more than the rest is refused', async () => {
    await owner.getByLabel(/^Amount in EUR/).fill('12.25');
    await owner.getByLabel(/^Why/).fill('Half of the pages were blank');
    await owner.getByRole('button', { name: 'Give it back' }).click();
    await owner.locator('#state').getByText('Refunded in part', { exact: true }).waitFor();
    await owner.locator('#refunds').getByText('12.25 EUR').waitFor();
    assert.equal(await owner.locator('#postings li').count(), 2);
    assert.deepEqual(chrome.wrong, []);
    const refusing = await (await chrome.context({ ...DESK, storageState: await owner.context().storageState() }, { mayFail: [409] })).newPage();
    await refusing.goto(owner.url());
    await refusing.getByLabel(/^Amount in EUR/).fill('12.26');
    await refusing.getByRole('button', { name: 'Give it back' }).click();
    await refusing.getByRole('alert').getByText('12.25 EUR at most').waitFor();
  });

  it('a report that says ten cents too little is handed in as a file, and the difference is seen', async () => {
    const [{ id }] = (await api(world, 'GET', '/v1/payments')).items;
    const { attempts, refunds } = await api(world, 'GET', `/v1/payments/${id}`);
    const paid = attempts.find((attempt) => attempt.state === 'charged');
    const { items } = await api(world, 'GET', '/v1/payment-providers');
    const { name } = items.find((provider) => provider.id === paid.provider);
    const at = new Date().toISOString();
    const report = [
      'kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at',
      `payment,${paid.id},,po_1,EUR,2440,40,2400,${at}`,
      `refund,${refunds[0].id},,po_1,EUR,-1225,0,-1225,${at}`,
    ].join('\r\n');
    await owner.getByRole('link', { name: 'Payments', exact: true }).first().click();
    await owner.getByRole('link', { name: 'Settlement' }).click();
    await owner.getByText('No reports yet').waitFor();
    const hand = async () => {
      await owner.getByLabel('Whose report it is').selectOption({ label: name });
      await owner.locator('#report-file').setInputFiles({ name: 'January.csv', mimeType: 'text/csv', buffer: Buffer.from(report) });
      await owner.getByRole('button', { name: 'Hand it in' }).click();
      await owner.getByText('The report is taken in').waitFor();
    };
    await hand();
    // The page looks again by itself until the report is booked.
    await owner.locator('#reports').getByText('Booked, with differences').waitFor();
    await hand();
    assert.equal(await owner.locator('#reports > li').count(), 1, 'the same file again is the same report');
    await owner.locator('#reports').getByText('2 lines, 1 matched').waitFor();
    await owner.locator('#ages').getByRole('cell', { name: '1', exact: true }).waitFor();
    await owner.locator('#reports').getByRole('link', { name: /1 difference/ }).click();
    await owner.getByText('Less than expected').waitFor();
    for (const told of ['24.50 EUR', '24.40 EUR', paid.id]) await owner.locator('#exceptions').getByText(told).first().waitFor();
  });

  it('it is worked off with a reason, and nothing is left that has an age', async () => {
    await owner.getByText('Write it off', { exact: true }).first().click();
    const form = owner.locator('#exceptions form', { has: owner.locator('input[value=write_off]') });
    await form.getByRole('button', { name: 'Write it off' }).click();
    assert.ok(await form.getByLabel('Why').evaluate((input) => input.validity.valueMissing), 'a reason is needed');
    await form.getByLabel('Why').fill('The payer\'s bank kept ten cents');
    await form.getByRole('button', { name: 'Write it off' }).click();
    await owner.getByText('The difference is worked off.').waitFor();
    await owner.getByRole('link', { name: 'Worked off' }).click();
    await owner.getByText('The payer\'s bank kept ten cents').waitFor();
    await owner.getByRole('link', { name: 'Settlement' }).last().click();
    await owner.locator('#ages').getByText('0 are open').waitFor();
    // What the provider holds for us is settled: nothing is left in its clearing account.
    const { items } = await api(world, 'GET', '/v1/ledger/accounts?code=payments.clearing.');
    for (const account of items) {
      const now = await api(world, 'GET', `/v1/ledger/accounts/${account.id}/balance`);
      assert.equal(now.totals.balance, '0', account.code);
    }
    assert.ok(items.length > 0);
  });

  it('nothing on the way was wrong in any page', () => {
    assert.deepEqual(chrome.wrong, []);
  });
});
