// The list of what happened, newest first, with its filter.

import { el, set } from "./dom.js";
import { clock } from "./format.js";

const SHOWN = 250;
const TABS = {
  All: () => true,
  Signals: (event) => event.kind === "signal",
  Orders: (event) => ["order", "rejection"].includes(event.kind),
  Fills: (event) => ["fill", "settlement", "market_end", "redeemed"].includes(event.kind),
  Notices: (event) => !["signal", "order", "fill", "strike", "market_open"].includes(event.kind),
};

export class Activity {
  constructor(list, tabs) {
    this.list = list;
    this.events = [];
    this.tab = "All";
    for (const name of Object.keys(TABS)) {
      tabs.append(el("button", { type: "button", "aria-pressed": String(name === this.tab), onclick: () => this.choose(name, tabs) }, name));
    }
  }

  choose(name, tabs) {
    this.tab = name;
    for (const button of tabs.children) button.setAttribute("aria-pressed", String(button.textContent === name));
    this.replace(this.events);
  }

  replace(events) {
    this.events = events.slice(-2 * SHOWN);
    this.list.replaceChildren();
    this.append(this.events);
  }

  add(events) {
    this.events = [...this.events, ...events].slice(-2 * SHOWN);
    this.append(events);
  }

  append(events) {
    const rows = events.filter(TABS[this.tab]).slice(-SHOWN).map(row).reverse();
    this.list.prepend(...rows);
    while (this.list.children.length > SHOWN) this.list.lastChild.remove();
    this.list.classList.toggle("none", this.list.children.length === 0);
  }
}

function row(event) {
  const market = event.slug ? event.slug.replace(/-\d{9,}$/, "").replace("-updown", "") : "";
  const node = el(
    "li",
    { "data-kind": event.kind, "data-level": event.level, "data-seq": event.seq },
    el("time", {}, clock(event.ts_ns / 1e6)),
    el("span", { class: "kind" }, event.kind.replace("_", " ")),
    el("span", { class: "what" }),
  );
  if (event.data?.order_seq) node.dataset.order = String(event.data.order_seq);
  const what = node.querySelector(".what");
  set(what, event.text.replace(/^[A-Z]{4,} +/, ""));
  if (event.strategy && !event.text.includes(event.strategy)) what.prepend(el("b", {}, event.strategy), " ");
  if (market) node.title = event.slug;
  return node;
}
