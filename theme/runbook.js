// Comforts of the page; everything can be read and followed without them. Sends nothing anywhere.
(() => {
  'use strict';
  // A page that prints the whole book carries this once a chapter.
  if (window.runbookSite) return;
  window.runbookSite = true;

  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  // A page says when; how long ago that is only a script can say for as long as the page lies there.
  const ages = () => {
    const units = [['d', 86400], ['h', 3600], ['min', 60]];
    each('main time[datetime]', (time) => {
      const then = new Date(time.dateTime);
      const seconds = (Date.now() - then) / 1000;
      if (Number.isNaN(seconds) || seconds < 0) return;
      const unit = units.find(([, size]) => seconds >= size);
      time.title = then.toLocaleString();
      time.textContent = unit ? `${Math.floor(seconds / unit[1])} ${unit[0]} ago` : 'just now';
    });
  };

  // The permalink of a step copies its full ID, and still leads there.
  const ids = () => each('a.rb-id', (link) => {
    const id = link.closest('[data-runbook-id]')?.dataset.runbookId;
    if (!id || !navigator.clipboard) return;
    link.title = `${id} (a click copies this ID)`;
    link.addEventListener('click', () => {
      navigator.clipboard.writeText(id).then(() => {
        link.classList.add('rb-copied');
        setTimeout(() => link.classList.remove('rb-copied'), 1500);
      }, () => {});
    });
  });

  // Marks where a value of the book stands in a shown script: `name:offset:length`, separated by blanks.
  const mark = (code, places) => {
    const found = [];
    for (const place of places.split(' ').reverse()) {
      const [name, offset, length] = place.split(':');
      const range = document.createRange();
      const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
      const from = Number(offset);
      const to = from + Number(length);
      let at = 0;
      let begun = false;
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const end = at + node.length;
        if (!begun && from < end) {
          range.setStart(node, from - at);
          begun = true;
        }
        if (begun && to <= end) {
          range.setEnd(node, to - at);
          break;
        }
        at = end;
      }
      if (!begun) continue;
      const span = document.createElement('span');
      span.className = 'rb-var';
      span.textContent = range.toString();
      span.title = name;
      range.deleteContents();
      range.insertNode(span);
      found.push([name, span]);
    }
    return found;
  };

  // Values: what a reader types is put into the shown and copied commands, kept in this browser, sent nowhere.
  const values = (form) => {
    const guide = form.dataset.guide;
    const key = `runbook-values:${guide}`;
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(key)) ?? {}; } catch { /* no storage, no memory */ }
    const places = [];
    each('[data-vars]', (card) => {
      const code = card.querySelector('pre code');
      if (code && card.dataset.runbookId.startsWith(`${guide}#`)) places.push(...mark(code, card.dataset.vars));
    });
    const show = () => places.forEach(([name, span]) => {
      const input = form.elements.namedItem(name);
      if (input) span.textContent = input.value || input.defaultValue;
    });
    each('input', (input) => {
      input.readOnly = false;
      if (typeof kept[input.name] === 'string') input.value = kept[input.name];
      input.addEventListener('input', () => {
        kept[input.name] = input.value;
        try { localStorage.setItem(key, JSON.stringify(kept)); } catch { /* as above */ }
        show();
      });
    }, form);
    each('button', (button) => { button.hidden = false; }, form);
    form.addEventListener('reset', () => {
      kept = {};
      try { localStorage.removeItem(key); } catch { /* as above */ }
      setTimeout(show);
    });
    form.addEventListener('submit', (event) => event.preventDefault());
    show();
  };

  // What a link leads to is open.
  const reveal = () => {
    let element = null;
    try { element = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no anchor */ }
    let opened = false;
    for (let e = element; e; e = e.parentElement) {
      if (e.tagName === 'DETAILS' && !e.open) { e.open = true; opened = true; }
    }
    if (opened) element.scrollIntoView();
  };

  // What scrolls can be scrolled with the keyboard in every browser.
  const scrolls = () => each('.rb-step pre > code', (code) => {
    if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
  });

  // The sign behind a chapter's name gets its colour.
  const signs = () => each('#mdbook-sidebar a', (link) => {
    const text = link.lastChild;
    const sign = text?.nodeType === Node.TEXT_NODE && /[ \u00a0]([✓✕≠◷⊘!↷■○](?: [a-z ]+)?)$/u.exec(text.data);
    if (!sign) return;
    const states = { '✓': 'passed', '✕': 'failed', '≠': 'drifted', '◷': 'timed-out', '⊘': 'blocked', '!': 'pending', '↷': 'skipped', '■': 'aborted', '○': 'never-run' };
    const span = document.createElement('span');
    span.className = 'rb-side';
    span.dataset.s = states[[...sign[1]][0]];
    span.textContent = sign[1];
    text.data = text.data.slice(0, -sign[1].length);
    link.append(span);
  });

  // Printed with its evidence unfolded, in browsers whose style cannot do that.
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('main details:not([open])')];
    closed.forEach((details) => { details.open = true; });
  });
  addEventListener('afterprint', () => closed.forEach((details) => { details.open = false; }));

  const start = () => {
    ages();
    ids();
    each('.rb-values form', values);
    signs();
    reveal();
    scrolls();
    addEventListener('resize', scrolls);
    addEventListener('hashchange', reveal);
  };
  if (document.readyState === 'loading') addEventListener('DOMContentLoaded', start);
  else start();
})();
