// Pictures of every page, on a phone and on a desk, by day and by night, empty and with people in it:
//   node tests/screens.mjs FOLDER [PATTERN]    (only those whose names begin so)
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'node:http';
import { aim, api, browser, DESK, freePort, leave, PHONE, server, signIn, simulators } from './world.mjs';

const [, , folder, only] = process.argv;
if (!folder) {
  console.error('usage: node tests/screens.mjs FOLDER');
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const PEOPLE = [
  ['Grace Hopper', 'grace@example.com', '', 'US Navy', 'Could we talk about the compiler next week?'],
  ['Σωφρονία Παπαδοπούλου', 'sofronia@example.com', '+30 21 0123 4567', 'Ευπαλίνος ΑΕ', ''],
  ['نرگس محمدی', 'narges@example.com', '', 'مؤسسه', 'سلام، می‌خواهم درباره کارت‌ها بیشتر بدانم.'],
  ['محمد عبد الرحمن بن عبد الله الخوارزمي', '', '+971 4 123 4567', 'بيت الحكمة', 'أود معرفة المزيد عن المنتج.'],
  ['Wolfeschlegelsteinhausenbergerdorff Hubert Blaine', 'hubert.blaine.wolfeschlegelsteinhausenbergerdorff@a-rather-long-domain-name.example.com', '', 'Donaudampfschifffahrtsgesellschaft Elektrizitäten', 'Hallo'],
  ['Hedy Lamarr', 'hedy@example.com', '+43 1 234567', '', ''],
  ['Ngô Bảo Châu', 'chau@example.com', '', '', ''],
  ['Katherine Johnson', 'katherine@example.com', '', 'NASA', 'Orbits, please.\n\nAnd the way back.'],
];

async function seed(world) {
  const made = [];
  const [card] = (await api(world, 'GET', '/v1/cards')).items;
  // Visitors of the fair first, so that the people come out on top of the list.
  for (let n = 31; n >= 0; n -= 1) {
    const [name, email, phone, company, message] = PEOPLE[n] ?? [`Visitor ${n + 1} of the fair`, `visitor${n + 1}@example.com`, '', n % 3 ? '' : 'Fair & Sons', ''];
    made.push(await api(world, 'POST', '/v1/leads', { name, ...(email && { email }), ...(phone && { phone }), ...(company && { company }), ...(message && { message }), source: { kind: 'card', id: card.id, code: new URL(world.card_url).pathname.slice(1) }, consent: { version: 0 } }));
  }
  const ways = [[], ['contacted'], ['qualified'], ['qualified', 'won'], ['lost']];
  for (const [n, lead] of made.entries()) {
    let { version } = lead;
    for (const status of ways[n % ways.length]) ({ version } = await api(world, 'PATCH', `/v1/leads/${lead.id}`, { version, status }));
    if (n > 27) await api(world, 'PATCH', `/v1/leads/${lead.id}`, { version, tags: ['trade fair', 'معرض'] });
  }
  await api(world, 'POST', '/v1/leads', { name: PEOPLE[0][0], email: PEOPLE[0][1], message: 'One more thing: can it print?' });
  await api(world, 'POST', '/v1/codes', { name: 'Menu at the window, the one beside the very long door', tags: ['window', 'spring'], destination: { kind: 'url', url: 'https://example.com/menu/of/the/day?table=12&language=en&a=rather-long-address' } });
  await api(world, 'POST', '/v1/codes', { name: 'Not bound yet' });
  return made.at(-1).id;
}

async function scan(world) {
  const agents = [PHONE.userAgent, 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'];
  const languages = ['en-GB,en', 'de-DE,de', 'ar-EG,ar', 'pt-BR,pt', 'fa'];
  for (let n = 0; n < 24; n += 1) {
    await fetch(world.card_url, { headers: { 'user-agent': `${agents[n % agents.length]} t${n}`, 'accept-language': languages[(n * n) % 5], ...(n % 5 === 0 && { referer: 'https://news.example.com/' }) } });
  }
}

const world = await server('--webhook-allow', '127.0.0.1');
const chrome = await browser();
const hook = createServer((request, answer) => { request.resume(); answer.end('ok'); });
await new Promise((done) => hook.listen(0, '127.0.0.1', done));

try {
  const at = (path) => new URL(path, world.public_url).href;
  const code = new URL(world.card_url).pathname.slice(1);

  const owner = await chrome.context(DESK);
  const first = await owner.newPage();
  const stranger = await (await chrome.context(DESK)).newPage();
  await stranger.goto(world.sign_in_url);
  const views = [['phone', PHONE], ['desk', DESK]];

  // Takes one picture by day and one by night of what an address shows, in a viewport of its own that has the owner's session.
  async function picture(name, address, { before, state, full = true } = {}) {
    if (only && !new RegExp(`^(${only})`).test(name)) return;
    for (const [view, options] of views) {
      const context = await chrome.context({ ...options, storageState: state === undefined ? await owner.storageState() : state }, { mayFail: [401, 404, 409, 410, 422] });
      for (const colorScheme of ['light', 'dark']) {
        const page = await context.newPage();
        await page.emulateMedia({ colorScheme });
        await page.goto(at(address));
        await before?.(page);
        await page.waitForTimeout(250);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) console.log(`${name} on a ${view} is ${wide} px too wide`);
        if (full && view === 'phone') await page.setViewportSize({ width: 390, height: Math.max(844, await page.evaluate(() => document.documentElement.scrollHeight)) });
        await page.screenshot({ path: join(folder, `${name}-${view}-${colorScheme}.png`), fullPage: full });
        await page.close();
      }
      await context.close();
    }
  }
  const nobody = { cookies: [], origins: [] };

  await picture('sign-in', '/sign-in?sent=ada@example.com', { state: nobody });
  await picture('sign-in-wrong', '/sign-in', {
    state: nobody,
    before: async (page) => {
      await page.locator('#email').fill('ada@example');
      await page.locator('form[action="/sign-in"]').evaluate((form) => form.remove());
      await page.locator('#link-email').fill('ada@');
      await page.locator('form').evaluate((form) => { form.noValidate = true; });
      await page.getByRole('button', { name: 'Email me a link' }).click();
      await page.waitForURL('**/link');
    },
  });
  await picture('redeem', new URL(world.sign_in_url).pathname, { state: nobody });
  await signIn(first, world.sign_in_url);
  await picture('leads-empty', '/leads');
  await picture('code-empty', `/codes/${code}`);
  const lead = await seed(world);
  await scan(world);
  const card = await chrome.context(PHONE);
  const visitor = await card.newPage();
  await visitor.goto(world.card_url);
  await leave(visitor, { name: 'Maria Sibylla Merian', email: 'maria@example.com', company: 'Metamorphosis', message: 'I collect.' });
  await visitor.waitForURL('**/thanks*');
  await first.goto(at('/settings/webhooks'));
  await first.locator('#url').fill(`http://127.0.0.1:${hook.address().port}/hook`);
  await first.getByRole('button', { name: 'Add the endpoint' }).click();
  await first.locator('.secret').waitFor();
  const endpoint = (await first.getByRole('link', { name: 'Done' }).getAttribute('href'));
  await first.getByRole('link', { name: 'Done' }).click();
  await first.getByRole('button', { name: 'Send a test' }).click();
  await first.waitForTimeout(1_500);
  await first.goto(at('/settings/people'));
  await first.locator('#invite-email').fill('grace.brewster.murray.hopper@a-rather-long-domain-name.example.com');
  await first.getByRole('button', { name: 'Invite', exact: true }).click();
  await first.goto(at(`/leads/${lead}`));
  await first.getByLabel('A new note').fill('Rang her on Tuesday.\nShe rings back on Friday with the numbers.');
  await first.getByRole('button', { name: 'Add note' }).click();
  await first.waitForTimeout(1_500);

  await picture('leads', '/leads', { full: false });
  await picture('leads-filtered', '/leads?status=won&q=hedy');
  await picture('lead', `/leads/${lead}`);
  await picture('lead-tag-wrong', `/leads/${lead}`, {
    before: async (page) => {
      await page.getByLabel('A new tag').fill('a,b');
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.locator('#tag-error').waitFor();
    },
  });
  await picture('lead-erase', `/leads/${lead}/erase`);
  await picture('cards', '/cards');
  await first.goto(at('/cards'));
  const mine = new URL(await first.locator('.tile h2 a').first().getAttribute('href'), world.public_url).pathname;
  await picture('card-edit', mine);
  await picture('card-wrong', '/cards/new', {
    before: async (page) => {
      await page.locator('form[action="/cards/new"]').evaluate((form) => { form.noValidate = true; });
      await page.locator('#email-1').fill('ada@');
      await page.locator('#phone-2').fill('no number');
      await page.locator('#link-1').fill('javascript:alert(1)');
      await page.getByRole('button', { name: 'Make the card' }).click();
      await page.locator('#email-error-1').waitFor();
    },
  });
  await picture('codes', '/codes');
  await picture('code', `/codes/${code}?range=24h`);
  await picture('ledger', '/ledger');
  await picture('ledger-none', '/ledger?prefix=nothing');
  await picture('ledger-wrong', '/ledger', {
    before: async (page) => {
      await page.locator('form[method="post"][action="/ledger"]').evaluate((form) => { form.noValidate = true; });
      await page.locator('#new-name').fill('Cash in the till');
      await page.locator('#new-code').fill('no good');
      await page.locator('#new-unit').fill('euro');
      await page.getByRole('button', { name: 'Open the account' }).click();
      await page.locator('#code-error').waitFor();
    },
  });
  await picture('ledger-wallets', '/ledger/wallets');
  await picture('ledger-trial-balance', '/ledger/trial-balance');
  const address = async (link) => new URL(await link.first().getAttribute('href'), world.public_url).pathname;
  await first.goto(at('/ledger'));
  const bank = await address(first.getByRole('link', { name: 'Bank account', exact: true }));
  const wallet = await address(first.getByRole('link', { name: 'Wallet of Mara Lindqvist', exact: true }));
  await picture('ledger-account', `${bank}?range=1y`);
  await picture('ledger-wallet', `${wallet}?range=all`);
  await first.goto(at(`${wallet}?range=all`));
  const promise = await address(first.getByRole('link', { name: 'Basket for this week', exact: true }));
  const sale = await address(first.getByRole('link', { name: 'Paid from the wallet', exact: true }));
  await picture('ledger-pending', promise);
  await first.goto(at(sale));
  await picture('ledger-entry', await address(first.locator('a[href^="/ledger/entries/"]')));
  const name = 'Donaudampfschifffahrtsgesellschaft Elektrizitäten und Nebengewerbe, allgemeine Verrechnung mit sehr langem Namen';
  const long = { name, code: `${'a-long.code.'.repeat(9)}eur`, kind: 'asset', unit: 'EUR' };
  const debit = (await api(world, 'POST', '/v1/ledger/accounts', long)).id;
  const credit = (await api(world, 'POST', '/v1/ledger/accounts', { ...long, name: 'حساب المورد نرگس', code: 'a.other' })).id;
  await picture('ledger-account-empty', `/ledger/accounts/${debit}`);
  const transfers = [1, 2, 3].map((n) => ({ id: `trf_${String(n).padStart(32, '0')}`, debit, credit, unit: 'EUR', amount: 9007199254740991, memo: PEOPLE[2][4].repeat(4), source: `order:${'x'.repeat(100)}`, metadata: { note: 'word '.repeat(60), list: [1, { deep: true }] } }));
  await api(world, 'POST', '/v1/ledger/transfers', { transfers });
  await first.waitForTimeout(500);
  await picture('ledger-account-long', `/ledger/accounts/${debit}`);
  await picture('ledger-transfer-long', `/ledger/transfers/${transfers[0].id}`);
  await picture('ledger-long', '/ledger?prefix=a');
  await picture('settings', '/settings');
  await picture('settings-people', '/settings/people');
  await picture('settings-keys', '/settings/keys');
  await picture('settings-key-made', '/settings/keys', {
    before: async (page) => {
      await page.locator('#name').fill('The website of the shop');
      await page.getByLabel('leads:read').check();
      await page.getByRole('button', { name: 'Make the key' }).click();
      await page.locator('.secret').waitFor();
    },
  });
  await picture('settings-webhooks', '/settings/webhooks');
  await picture('settings-webhook', endpoint);
  await picture('settings-consent', '/settings/consent');
  await picture('settings-audit', '/settings/audit', { full: false });
  await picture('not-found', '/leads/lead_00000000000000000000000000000000');
  await picture('menu', '/cards', { full: false, before: (page) => page.locator('.who > summary').click() });
  await picture('card-page', new URL(world.card_url).pathname, { state: nobody });
  await picture('card-page-top', new URL(world.card_url).pathname, { state: nobody, full: false });


  // Payments: the payer's pages first while nothing runs, then with somebody who pays, is declined and gets money back.
  const port = await freePort();
  await aim(world, port);
  const link = new URL(world.payment_url).pathname;
  const pay = async (address, { press, amount, email } = {}) => {
    const context = await chrome.context(PHONE, { mayFail: [409, 422] });
    const page = await context.newPage();
    await page.goto(at(address));
    if (amount) await page.getByLabel(/Amount in/).fill(amount);
    if (email) await page.getByLabel(/Email/).fill(email);
    await page.locator('.pay button').click();
    if (press) {
      await page.waitForURL((url) => url.port === String(port));
      await page.getByRole('button', { name: press, exact: false }).first().click();
    }
    await page.waitForURL('**/pay/pay_*/back*');
    const back = new URL(page.url()).pathname;
    await context.close();
    return back;
  };
  await picture('payments-empty', '/payments');
  await picture('pay', link, { state: nobody });
  await picture('pay-no-simulator', await pay(link), { state: nobody });
  const sim = await simulators(world, port);
  try {
    const open = await api(world, 'POST', '/v1/payment-links', { currency: 'EUR', description: 'Whatever you like to give for the restoration of the very long roof of the museum' });
    const arabic = await api(world, 'POST', '/v1/payment-links', { amount_minor: 1_250, currency: 'KWD', description: 'طاولة بجانب النافذة' });
    await api(world, 'PATCH', `/v1/payment-links/${arabic.id}`, { is_active: false });
    const address = (made) => new URL(made.url).pathname;
    await picture('pay-open', address(open), { state: nobody });
    await picture('pay-open-wrong', address(open), {
      state: nobody,
      before: async (page) => {
        await page.locator('form').evaluate((form) => { form.noValidate = true; });
        await page.getByLabel(/Amount in/).fill('1.250,00');
        await page.getByLabel(/Email/).fill('ada@');
        await page.locator('.pay button').click();
        await page.locator('#amount-error').waitFor();
      },
    });
    await picture('pay-closed', address(arabic), { state: nobody });
    await picture('pay-unknown', '/pay/nothing', { state: nobody });
    const paid = await pay(link, { press: 'Pay', email: 'grace@example.com' });
    await first.waitForTimeout(1_500);
    await picture('pay-paid', paid, { state: nobody });
    await picture('pay-declined', await pay(address(open), { press: 'Decline', amount: '12,50' }), { state: nobody });
    const made = await api(world, 'POST', '/v1/payments', { amount_minor: 120_000, currency: 'EUR', capture_method: 'manual', description: 'A long weekend', customer: 'customer-4711', payer_email: 'hedy@example.com', metadata: { room: 12 } });
    await picture('pay-asked', `/pay/${made.id}`, { state: nobody });
    await pay(`/pay/${made.id}`, { press: 'Pay' });
    await first.waitForTimeout(1_500);
    const held = await api(world, 'POST', '/v1/payments', { amount_minor: 9_900_000, currency: 'EUR', description: 'A steam engine' });
    await api(world, 'POST', '/v1/risk/rules', { name: 'Above ten thousand', applies_to: 'payment_attempt', outcome: 'hold', condition: { kind: 'amount', currency: 'EUR', amount_minor: 1_000_000 } });
    await api(world, 'POST', `/v1/payments/${held.id}/attempts`);
    await picture('pay-held', `/pay/${held.id}/back`, { state: nobody });
    await picture('payment-held', `/payments/${held.id}`);
    await picture('payment-to-capture', `/payments/${made.id}`);
    const id = paid.split('/')[2];
    await api(world, 'POST', `/v1/payments/${id}/refunds`, { amount_minor: 1_225, reason: 'Half of the pages were blank' });
    await first.waitForTimeout(1_500);
    await picture('payment', `/payments/${id}`);
    await picture('payment-wrong', `/payments/${id}`, {
      before: async (page) => {
        await page.locator('#refund-amount').fill('99999');
        await page.getByRole('button', { name: 'Give it back' }).click();
        await page.getByRole('alert').waitFor();
      },
    });
    await picture('payments', '/payments');
    await picture('payments-none', '/payments?state=canceled');
    await picture('payments-links', '/payments/links');
    await picture('payments-links-wrong', '/payments/links', {
      before: async (page) => {
        await page.locator('#new-description').fill('A table');
        await page.locator('#new-amount').fill('a lot');
        await page.locator('#new-currency').fill('EUR');
        await page.getByRole('button', { name: 'Make the link' }).click();
        await page.locator('#amount-error').waitFor();
      },
    });
    await picture('settings-providers', '/settings/providers');
    await picture('settings-providers-new', '/settings/providers?dialect=ramp_network', {
      before: async (page) => {
        await page.locator('form[action="/settings/providers"]').evaluate((form) => { form.noValidate = true; });
        await page.locator('#provider-name').fill('Not a name');
        await page.getByRole('button', { name: 'Add Ramp Network' }).click();
        await page.getByRole('alert').waitFor();
      },
    });
    const [{ id: edited }] = (await api(world, 'GET', '/v1/payment-providers')).items.filter((provider) => provider.dialect === 'monnify');
    await picture('settings-provider', `/settings/providers/${edited}`);
    await picture('settings-provider-wrong', `/settings/providers/${edited}`, {
      before: async (page) => {
        await page.locator('#secrets summary').click();
        await page.locator('#f-api_key').fill('MK_HALF');
        await page.locator('#provider-url').fill('https://169.254.169.254/latest');
        await page.getByRole('button', { name: 'Save' }).click();
        await page.getByRole('alert').waitFor();
      },
    });
    // The simulator's own pages: what a payer meets, and the desk behind it.
    const waiting = await api(world, 'POST', '/v1/payments', { amount_minor: 123_450, currency: 'EUR', description: 'Two lamps and a very long description of what they are for' });
    await api(world, 'POST', `/v1/payments/${waiting.id}/attempts`);
    const { page_url } = await api(world, 'GET', `/v1/payments/${waiting.id}?wait_s=10`);
    await picture('sim-page', page_url, { state: nobody });
    await picture('sim-desk', sim.url, { state: nobody, full: false });
    await picture('pay-open-page', `/pay/${waiting.id}/back?look=40`, { state: nobody });

    // Payouts: nothing yet, then through all their gates.
    await picture('payouts-empty', '/payments/payouts');
    await picture('beneficiaries-empty', '/payments/beneficiaries');
    await picture('float-empty', '/payments/float');
    const providers = (await api(world, 'GET', '/v1/payment-providers')).items;
    const monnify = providers.find((provider) => provider.dialect === 'monnify');
    await api(world, 'PUT', '/v1/payout-settings', { version: 0, limits: { NGN: 100_000_00, EUR: 5_00 }, runs_on_weekends: true, utc_offset_min: 60 });
    await api(world, 'POST', '/v1/risk/rules', { name: 'Cool-off', applies_to: 'payout', outcome: 'hold', condition: { kind: 'cool_off', hours: 24 } });
    await api(world, 'POST', '/v1/payment-float/top-ups', { provider: monnify.id, amount_minor: 50_000_00, currency: 'NGN' });
    await api(world, 'POST', '/v1/payment-float/comparisons', { provider: monnify.id, currency: 'NGN' });
    const payees = [];
    for (const [account_name, account_number] of [['Jide Balogun', '0123456789'], [PEOPLE[3][0], '0123456788'], ['Donaudampfschifffahrtsgesellschaft Elektrizitäten und Nebengewerbe, allgemeine Verrechnung mit sehr langem Namen', '0123456787']]) {
      payees.push(await api(world, 'POST', '/v1/beneficiaries', { account_name, account_number, bank_code: '058', country: 'NG' }));
    }
    const ask = (payee, amount_minor, narration) => api(world, 'POST', '/v1/payouts', { beneficiary: payee.id, amount_minor, currency: 'NGN', provider: monnify.id, ...(narration && { narration }) });
    const decide = await ask(payees[2], 250_000_00, 'For the restoration of the very long roof of the museum, second instalment of many');
    await ask(payees[1], 1_000_00);
    const stopped = await ask(payees[0], 1_250_00, 'For the orrery');
    await first.waitForTimeout(2_500);
    await picture('payouts', '/payments/payouts');
    await picture('payouts-wrong', `/payments/payouts?to=${payees[0].id}`, {
      before: async (page) => {
        await page.locator('#new form').evaluate((form) => { form.noValidate = true; });
        await page.locator('#new-amount').fill('-5');
        await page.locator('#new-currency').fill('NGN');
        await page.getByRole('button', { name: 'Ask for it' }).click();
        await page.locator('#amount-error').waitFor();
      },
    });
    await picture('payout', `/payments/payouts/${decide.id}`);
    await picture('payout-held', `/payments/payouts/${stopped.id}`);
    await picture('beneficiaries', '/payments/beneficiaries');
    await picture('beneficiary', `/payments/beneficiaries/${payees[0].id}`);
    await picture('beneficiary-long', `/payments/beneficiaries/${payees[2].id}`);
    await picture('beneficiaries-wrong', '/payments/beneficiaries', {
      before: async (page) => {
        await page.locator('#new form').evaluate((form) => { form.noValidate = true; });
        await page.locator('#account-bank').fill('0-5-8');
        await page.getByRole('button', { name: 'Add them' }).click();
        await page.locator('#account-name-error').waitFor();
      },
    });
    await picture('float', '/payments/float');
    await picture('float-wrong', '/payments/float', {
      before: async (page) => {
        await page.locator('#limit-1').fill('a lot');
        await page.locator('#offset').fill('noon');
        await page.locator('#hours').fill('9999');
        await page.getByRole('button', { name: 'Save' }).click();
        await page.locator('#limits-error').waitFor();
      },
    });

    // Settlement: a report with differences, worked off in part.
    await picture('settlement-empty', '/payments/settlement');
    await picture('exceptions-empty', '/payments/settlement/exceptions');
    const stripe = providers.find((provider) => provider.dialect === 'stripe');
    const attempt = (await api(world, 'GET', `/v1/payments/${id}`)).attempts.find((one) => one.state === 'charged');
    const line = (...fields) => fields.join(',');
    const report = [
      'kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at',
      line('payment', attempt.id, '', 'po_1', 'EUR', 2440, 40, 2400, '2026-01-31T09:30:00Z'),
      line('payment', '', 'pi_3PzUnknownReferenceOfTheProviderThatIsVeryLongIndeed', 'po_1', 'EUR', 99900, 2900, 97000, '2026-01-31T09:30:00Z'),
    ].join('\n');
    await first.goto(at('/payments/settlement'));
    await first.getByLabel('Whose report it is').selectOption(attempt.provider);
    await first.locator('#report-file').setInputFiles({ name: 'January.csv', mimeType: 'text/csv', buffer: Buffer.from(report) });
    await first.getByRole('button', { name: 'Hand it in' }).click();
    await first.locator('#reports').getByText('Booked, with differences').waitFor();
    await picture('settlement', '/payments/settlement');
    await picture('settlement-wrong', '/payments/settlement', {
      before: async (page) => {
        await page.getByLabel('Whose report it is').selectOption(stripe.id);
        await page.locator('#report-file').setInputFiles({ name: 'January.csv', mimeType: 'text/csv', buffer: Buffer.from(report.replace('2440', 'a lot')) });
        await page.getByRole('button', { name: 'Hand it in' }).click();
        await page.locator('#file-error').waitFor();
      },
    });
    await picture('settlement-statement-wrong', '/payments/settlement', {
      before: async (page) => {
        await page.locator('#statement summary').click();
        await page.locator('#statement-text').fill('date,amount\n2026-01-31,5');
        await page.getByRole('button', { name: 'Take it in' }).click();
        await page.locator('#statement-error').waitFor();
      },
    });
    await picture('exceptions', '/payments/settlement/exceptions');
    await picture('exceptions-open', '/payments/settlement/exceptions', {
      before: async (page) => {
        for (const summary of await page.locator('#exceptions summary').all()) await summary.click();
      },
    });
  } finally {
    await sim.stop();
  }

  for (const line of chrome.wrong) console.log(`wrong: ${line}`);
} finally {
  hook.close();
  await chrome.close();
  await world.stop();
}
