// Small tools for the page's tree: make nodes, change only what changed.  Text only: nothing is ever read as HTML.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function set(node, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

export function tone(node, name) {
  if ((node.dataset.tone ?? "") === name) return;
  if (name) node.dataset.tone = name;
  else delete node.dataset.tone;
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

// Keep one child per key, in the order given; `make(key)` makes one, `fill(node, item)` brings it up to date.
export function keyed(parent, items, keyOf, make, fill) {
  const known = parent.keyedNodes ?? (parent.keyedNodes = new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of known) {
    if (!wanted.has(key)) {
      node.remove();
      known.delete(key);
    }
  }
  let before = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (!node) {
      node = make(item);
      known.set(key, node);
    }
    if (node === before) before = before.nextSibling;
    else parent.insertBefore(node, before);
    fill(node, item);
  }
}

// Take all of them away.
export function forget(parent) {
  keyed(parent, [], () => "", () => null, () => {});
}
