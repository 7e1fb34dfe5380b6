// What the owner's pages do beyond links and forms: new leads and scans appear by themselves, times are the reader's own, texts can
// be copied, a photo can be sent. Without it everything else works.
'use strict';
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const format = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
  const hour = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
  const dress = (root) => {
    for (const time of all('time[datetime]', root)) {
      const at = new Date(time.dateTime);
      const isToday = at.toDateString() === new Date().toDateString();
      time.textContent = isToday ? `today, ${hour.format(at)}` : format.format(at);
      time.title = full.format(at);
    }
    for (const button of all('button[data-copy]', root)) button.hidden = !navigator.clipboard;
    for (const element of all('[data-scripted]', root)) element.hidden = false;
    for (const element of all('[data-plain]', root)) element.hidden = true;
  };
  dress(document);
  // The chosen one of a row of filters is in sight, also where the row is longer than the screen.
  for (const here of all('.filters [aria-current]')) {
    const row = here.parentElement;
    row.scrollLeft = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  }

  const say = (text) => {
    const line = one('#said');
    if (line) line.textContent = text;
  };

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-copy]');
    if (button) {
      await navigator.clipboard.writeText(button.dataset.copy);
      say('Copied');
      const label = button.textContent;
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = label; }, 1500);
    }
    for (const open of all('details.who[open]')) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') for (const open of all('details.who[open]')) open.open = false;
  });

  const photo = one('#photo');
  photo?.addEventListener('change', async () => {
    const [file] = photo.files;
    const error = one('#photo-error');
    if (!file) return;
    error.hidden = true;
    say('Sending the photo');
    const answer = await fetch(photo.dataset.to, { method: 'PUT', body: file, headers: { 'content-type': file.type || 'image/jpeg' } }).catch(() => null);
    if (answer?.ok) {
      location.assign(`${location.pathname}?done=photo`);
      return;
    }
    const problem = await answer?.json().catch(() => null);
    error.textContent = problem?.detail ?? 'The photo could not be sent. Try again.';
    error.hidden = false;
    photo.value = '';
  });

  // A page of ours, or nothing when the session is over or the thing is not for this list.
  const fetched = async (address) => {
    const answer = await fetch(address, { headers: { accept: 'text/html' }, redirect: 'manual' }).catch(() => null);
    if (!answer?.ok || answer.status === 204) return { status: answer?.status ?? 0, parts: null };
    return { status: answer.status, parts: new DOMParser().parseFromString(await answer.text(), 'text/html') };
  };
  const swap = (parts, selector) => {
    const [old, fresh] = [one(selector), parts && one(selector, parts)];
    if (!old || !fresh) return;
    const node = document.importNode(fresh, true);
    dress(node);
    old.replaceWith(node);
  };

  const leads = one('#leads');
  const counted = one('#scans');
  if ((leads || counted) && 'EventSource' in window) {
    const wanted = new Set();
    let timer;
    let again = false;
    const soon = (work, ms) => { timer ??= setTimeout(async () => { timer = undefined; await work(); }, ms); };

    const reload = async () => {
      const { parts } = await fetched(location.href);
      for (const part of ['#counts', '#leads', '#none', '#scans']) swap(parts, part);
    };

    const place = async (id) => {
      const old = document.getElementById(id);
      const { status, parts } = await fetched(`/leads/${id}/row${location.search}`);
      if (status === 204) old?.remove();
      const fresh = parts && one('li', parts);
      if (!fresh) return;
      const row = document.importNode(fresh, true);
      dress(row);
      row.classList.add('fresh');
      if (old) old.replaceWith(row);
      else if (one('#leads').dataset.first !== undefined) {
        one('#leads').prepend(row);
        one('#none')?.setAttribute('hidden', '');
        one('#list').hidden = false;
        say(`New lead: ${one('.name', row)?.textContent.trim()}`);
      }
    };
    const bring = async () => {
      const ids = [...wanted];
      wanted.clear();
      if (again || ids.length > 10) {
        again = false;
        await reload();
        return;
      }
      for (const id of ids) await place(id);
      swap((await fetched(`/leads/counts${location.search}`)).parts, '#counts');
    };

    const light = (is) => { const lamp = one('#live'); if (lamp) lamp.hidden = !is; };
    const live = new EventSource('/v1/live');
    live.addEventListener('ready', () => light(true));
    live.addEventListener('error', () => light(false));
    live.addEventListener('reset', () => { light(true); again = true; soon(leads ? bring : reload, 100); });
    if (leads) {
      for (const name of ['leads.captured', 'leads.changed', 'leads.erased']) {
        live.addEventListener(name, (event) => { wanted.add(JSON.parse(event.data).lead); soon(bring, 150); });
      }
    }
    if (counted) {
      live.addEventListener('codes.scanned', (event) => {
        const { code } = JSON.parse(event.data);
        if (!code || !counted.dataset.code || code === counted.dataset.code) soon(reload, 400);
      });
    }
    addEventListener('pagehide', () => live.close());
  }
})();
