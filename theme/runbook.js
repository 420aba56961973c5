// Comforts of the page; everything can be read and followed without them. Sends nothing anywhere.
(() => {
  'use strict';
  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  // Ages are told as of the build; with a script, as of now.
  const units = [['d', 86400], ['h', 3600], ['min', 60]];
  each('time.rb-age', (time) => {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const unit = units.find(([, size]) => seconds >= size);
    if (!Number.isNaN(seconds)) time.textContent = unit ? `${Math.floor(seconds / unit[1])} ${unit[0]} ago` : 'just now';
  });

  // The ID of a step is copied by its permalink, which still leads there.
  each('a.rb-id', (link) => {
    link.title = `${link.dataset.id ?? ''} (click copies the ID)`.trim();
    link.addEventListener('click', () => {
      const card = link.closest('[data-runbook-id]');
      if (card && navigator.clipboard) navigator.clipboard.writeText(card.dataset.runbookId).catch(() => {});
    });
  });

  // Values: what a reader types is put into the commands of this page, kept in this browser, sent nowhere.
  const form = document.querySelector('form.rb-form');
  if (form) {
    const key = `runbook-values:${location.pathname}`;
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(key) ?? '{}'); } catch { /* no storage, no memory */ }
    const places = [];
    each('.rb-step pre code', (code) => {
      const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
      const texts = [];
      while (walker.nextNode()) texts.push(walker.currentNode);
      for (const text of texts) {
        for (let node = text, found; (found = /\{\{\s*vars\.([A-Za-z0-9_]+)\s*\}\}/.exec(node.data));) {
          const rest = node.splitText(found.index + found[0].length);
          const place = node.splitText(found.index);
          places.push([place, found[1], found[0]]);
          node = rest;
        }
      }
    });
    const show = () => places.forEach(([place, name, written]) => {
      const input = form.elements[name];
      place.data = input ? input.value || input.defaultValue || written : written;
    });
    for (const input of form.querySelectorAll('input')) {
      if (typeof kept[input.name] === 'string') input.value = kept[input.name];
      input.addEventListener('input', () => {
        kept[input.name] = input.value;
        try { localStorage.setItem(key, JSON.stringify(kept)); } catch { /* as above */ }
        show();
      });
    }
    form.addEventListener('reset', () => {
      kept = {};
      try { localStorage.removeItem(key); } catch { /* as above */ }
      setTimeout(show);
    });
    form.addEventListener('submit', (event) => event.preventDefault());
    form.hidden = false;
    show();
  }

  // Printed with its evidence unfolded, in browsers that do not open <details> by style.
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('main details:not([open])')];
    closed.forEach((d) => { d.open = true; });
  });
  addEventListener('afterprint', () => { closed.forEach((d) => { d.open = false; }); });
})();
