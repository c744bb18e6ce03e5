// Everything around the windows: tiles, money by strategy, holdings, feeds, latency, telemetry.

import { el, keyed, set, show, tone } from "./dom.js";
import { age, count, fixed, micros, none, pnl, pnlTone, price, shares, usd } from "./format.js";

// -- tiles -----------------------------------------------------------------------------------------------------------

export function tiles(box, facts) {
  const { pnl: money, exposure, totals } = facts;
  const used = exposure.open_usd + exposure.reserved_usd;
  const list = [
    ["day", "PnL today", pnl(money.day_usd), `halt at ${pnl(-money.daily_halt_usd)}`, pnlTone(money.day_usd), loss(money.day_usd + money.marked_usd, money.daily_halt_usd)],
    ["week", "PnL this week", pnl(money.week_usd), `halt at ${pnl(-money.weekly_halt_usd)}`, pnlTone(money.week_usd), loss(money.week_usd + money.marked_usd, money.weekly_halt_usd)],
    ["session", "PnL of this run", pnl(totals?.pnl_usd), totals ? `fees ${usd(totals.fees_usd)}` : "", pnlTone(totals?.pnl_usd)],
    ["marked", "Open positions", pnl(money.marked_usd), `${count(facts.positions.count)} held, at their mark`, pnlTone(money.marked_usd)],
    ["exposure", "Exposure", usd(used), `of ${usd(exposure.limit_usd)}`, "", exposure.limit_usd ? used / exposure.limit_usd : 0],
    ["cash", "Cash", exposure.cash_usd < 0 ? "unknown" : usd(exposure.cash_usd), facts.unredeemed_usd === null ? "" : `${usd(facts.unredeemed_usd)} to redeem`, ""],
    ["traded", "Orders / fills", totals ? `${count(totals.orders)} / ${count(totals.fills)}` : none, totals ? `of ${count(totals.signals)} signals` : "", ""],
    ["windows", "Windows settled", count(facts.windows.settled), totals ? `${count(totals.wins)} won, ${count(totals.losses)} lost` : "", ""],
  ];
  keyed(box, list, ([name]) => name, ([name, label]) => el("div", { class: "tile", "data-tile": name }, el("span", { class: "label" }, label), el("b"), el("small", { class: "muted" }), el("div", { class: "gauge" }, el("i"))), (node, [, , value, note, mood, share]) => {
    const [, main, small, gauge] = node.children;
    set(main, value);
    tone(main, mood);
    set(small, note);
    show(gauge, share !== undefined);
    if (share !== undefined) {
      gauge.firstChild.style.width = `${Math.min(100, Math.max(0, 100 * share)).toFixed(1)}%`;
      tone(gauge, share > 0.9 ? "bad" : share > 0.6 ? "warn" : "");
    }
  });
}

// Of the daily and the weekly halt: open positions count at their mark, as they do for the engine.
const loss = (micro, halt) => (halt > 0 ? Math.max(0, -micro / halt) : 0);

// -- money -----------------------------------------------------------------------------------------------------------

export function byStrategy(body, totals) {
  const rows = Object.entries(totals?.by_strategy ?? {}).map(([name, sums]) => ({ name, ...sums }));
  rows.sort((a, b) => (b.pnl_usd ?? 0) - (a.pnl_usd ?? 0) || b.signals - a.signals);
  keyed(body, rows, (row) => row.name, (row) => el("tr", { "data-row": row.name }, ...Array.from({ length: 6 }, () => el("td"))), (node, row) => {
    const cells = [row.name, count(row.signals), count(row.orders), count(row.fills), !(row.wins + row.losses) ? none : `${row.wins}/${row.wins + row.losses}`, pnl(row.pnl_usd)];
    cells.forEach((text, i) => set(node.children[i], text));
    tone(node.lastChild, pnlTone(row.pnl_usd));
  });
}

// Below zero: others of these shares were sold for more than all of them had cost.
const cost = (micro) => (micro < 0 ? `sold for ${usd(-micro)} above cost` : `cost ${usd(micro)}`);

export function holdings(box, facts) {
  const rows = [
    ...facts.positions.shown.map((one) => ["position", `${one.slug} ${one.outcome}`, `${shares(one.shares)} ${one.outcome}`, cost(one.cost_usd), one.mark_usd === null ? "no mark" : `mark ${usd(one.mark_usd)}`, one]),
    ...facts.orders.shown.map((one) => ["order", String(one.order_seq), `${one.side} ${shares(one.shares)} ${one.outcome} @ ${price(one.price_ticks)}`, `${one.order_type} ${one.state}`, one.filled ? `filled ${shares(one.filled)}` : one.strategy, one]),
  ].slice(0, 40);
  keyed(box, rows, ([kind, key]) => `${kind} ${key}`, ([kind, key, , , , one]) => el("div", { class: "holding", "data-holding": key, title: one.slug }, el("span", { class: `badge ${one.outcome.toLowerCase()}` }, kind), el("b"), el("span"), el("span", { class: "muted" })), (node, [, , ...texts]) => texts.slice(0, 3).forEach((text, i) => set(node.children[i + 1], text)));
  const more = facts.positions.count + facts.orders.count - rows.length;
  box.dataset.none = rows.length ? "" : "nothing held, no open order";
  box.dataset.more = more > 0 ? `and ${more} more` : "";
}

// -- feeds and health ------------------------------------------------------------------------------------------------

export function feeds(box, ages, limits) {
  keyed(box, Object.entries(ages), ([name]) => name, ([name]) => el("div", { class: "feed", "data-feed": name }, el("i", { class: "dot" }), el("span", {}, short(name)), el("b")), (node, [, seconds]) => {
    set(node.lastChild, age(seconds));
    tone(node, seconds === null || seconds > limits.feed_bad_s ? "bad" : seconds > limits.feed_warn_s ? "warn" : "good");
  });
}

const short = (name) => name.replace(/^book .*?-(\d+[mh])?-?(\d{9,})$/, (all, interval, start) => `book ${interval ?? ""} ${new Date(Number(start) * 1e3).toISOString().slice(11, 16)}`);

export function health(box, facts) {
  const told = facts.health;
  if (!told) return set(box, "");
  const lag = told.loop_lag_ms ?? {};
  const words = [told.ok ? "healthy" : `not well: ${told.reasons.join(", ")}`, `loop lag ${fixed(lag.last, 1)} ms, worst ${fixed(lag.worst, 1)} ms`];
  tone(box, told.ok ? "good" : "bad");
  return set(box, words.join("   "));
}

// -- latency ---------------------------------------------------------------------------------------------------------

export function latency(body, rows) {
  keyed(body, rows, (row) => row.name, (row) => el("tr", { "data-stage": row.name }, el("th", {}, row.name), ...Array.from({ length: 5 }, () => el("td"))), (node, row) => {
    const texts = [count(row.count), micros(row.p50_us), micros(row.p90_us), micros(row.p99_us), micros(row.max_us)];
    texts.forEach((text, i) => set(node.children[i + 1], text));
  });
}

// -- telemetry -------------------------------------------------------------------------------------------------------

const LOST = ["records_dropped", "records_lost", "notes_dropped", "notes_lost", "rows_lost", "unassigned", "errors"];

export function telemetry(box, word, facts, missed) {
  const told = facts.telemetry;
  const items = told ? Object.entries(told).filter(([, value]) => typeof value === "number") : [];
  items.push(["events missed here", missed]);
  counts(box, items, (name, value) => (LOST.includes(name) && value > 0 ? "bad" : ""));
  const lost = told ? LOST.reduce((sum, name) => sum + (told[name] ?? 0), 0) : 0;
  const text = !told ? "nothing told yet" : told.disk_error ? `disk: ${told.disk_error}` : lost ? `${count(lost)} lost` : "nothing lost";
  set(word, text);
  tone(word, !told ? "" : told.disk_error || lost ? "bad" : "good");
}

export function counters(box, facts) {
  const items = Object.entries(facts.counters ?? {}).flatMap(([feed, sums]) => Object.entries(sums).map(([name, value]) => [`${feed} ${name}`, value]));
  counts(box, items.filter(([, value]) => typeof value === "number"), () => "");
}

function counts(box, items, mood) {
  keyed(box, items, ([name]) => name, ([name]) => el("div", { class: "pair", "data-pair": name }, el("span", {}, name.replaceAll("_", " ")), el("b")), (node, [name, value]) => {
    set(node.lastChild, count(value));
    tone(node, mood(name, value));
    node.classList.toggle("zero", value === 0);
  });
}
