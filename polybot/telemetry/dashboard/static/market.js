// One window's card: countdown, numbers, both charts, both ladders, and of each strategy why it does not trade.

import { oddsChart, spotChart } from "./charts.js";
import { el, keyed, set, show, tone } from "./dom.js";
import { count, decimals, dollars, fixed, left, minute, none, price, shares, signed } from "./format.js";

const LEVELS = 8;
const NEAR = 5; // of these a phone shows only the nearest
const COLUMNS = ["t_ms", "spot", "strike", "fair_up", "up_bid", "up_ask", "down_bid", "down_ask"];
const POINTS = 700;

export const emptyCurve = () => Object.fromEntries([["step_ms", 500], ...COLUMNS.map((name) => [name, []])]);

// The same thinning as the server's: of every stretch the last look.
export function extend(curve, market, nowMs) {
  const ticks = (value) => (value > 0 ? value : null);
  const row = [nowMs, market.spot, market.strike || null, market.fair_up, ticks(market.up.bid_ticks), ticks(market.up.ask_ticks), ticks(market.down.bid_ticks), ticks(market.down.ask_ticks)];
  const last = curve.t_ms.length - 1;
  if (last >= 0 && nowMs < curve.t_ms[last]) return;
  const same = last >= 0 && Math.floor(nowMs / curve.step_ms) === Math.floor(curve.t_ms[last] / curve.step_ms);
  COLUMNS.forEach((name, i) => {
    if (same) curve[name][last] = row[i];
    else curve[name].push(row[i]);
    if (curve[name].length > POINTS) curve[name].shift();
  });
}

export class MarketCard {
  constructor(market) {
    const root = document.getElementById("market-template").content.firstElementChild.cloneNode(true);
    this.root = root;
    root.dataset.slug = market.slug;
    this.f = Object.fromEntries([...root.querySelectorAll("[data-f]")].map((node) => [node.dataset.f, node]));
    this.spot = null;
    this.odds = null;
    this.ladders = { up: ladder(this.f["ladder-up"], "Up"), down: ladder(this.f["ladder-down"], "Down") };
  }

  // Charts measure their box, so they are made when the card is in the page.
  charts(market) {
    if (this.spot) return;
    this.spot = spotChart(this.f["spot-chart"], this.f["spot-legend"], market);
    this.odds = oddsChart(this.f["odds-chart"], this.f["odds-legend"], market);
  }

  update(market, { nowMs, curve, fills, orders }) {
    this.head(market, nowMs);
    this.facts(market);
    show(this.f.blocked, Boolean(market.blocked));
    if (market.blocked) set(this.f.blocked, `every entry of this window is blocked: ${market.blocked}`);
    this.charts(market);
    this.spot.update(curve, market.strike);
    this.odds.update(curve, fills);
    this.ladders.up(market.up, orders.filter((order) => order.outcome === "Up"));
    this.ladders.down(market.down, orders.filter((order) => order.outcome === "Down"));
    strategies(this.f.strategies, market);
  }

  head(market, nowMs) {
    const [start, end] = [market.start_ns / 1e6, market.end_ns / 1e6];
    set(this.f.title, `${market.asset.toUpperCase()} ${market.interval}  ${minute(start)}\u2013${minute(end)}`);
    const badges = [];
    if (market.observed) badges.push(["observed, never traded", ""]);
    if (market.house) badges.push([`side ${market.house}`, market.house.toLowerCase()]);
    if (market.regime) badges.push([`regime ${market.regime}`, ""]);
    keyed(this.f.badges, badges, ([text]) => text, ([text, kind]) => el("span", { class: `badge ${kind}` }, text), () => {});
    const before = nowMs < start;
    const after = market.left_s <= 0;
    set(this.f.left, left(before ? (start - nowMs) / 1e3 : after ? 0 : market.left_s));
    set(this.f["left-word"], before ? "to the start" : after ? "waiting for the outcome" : "left");
    const share = Math.min(1, Math.max(0, (nowMs - start) / (end - start)));
    this.f.progress.style.width = `${(100 * share).toFixed(2)}%`;
    tone(this.root, after ? "over" : !before && market.left_s < 15 ? "soon" : "");
  }

  facts(market) {
    set(this.f.spot, dollars(market.spot));
    set(this.f.strike, market.strike ? dollars(market.strike) : "not known yet");
    const source = market.strike ? `${market.strike_source}${market.strike_verified ? ", verified" : ""}` : "";
    set(this.f["strike-source"], source);
    const distance = market.strike && market.spot ? market.spot - market.strike : null;
    set(this.f.distance, signed(distance, 2));
    set(this.f["distance-bps"], distance === null ? "" : `${signed((1e4 * distance) / market.strike, 1)} bp`);
    tone(this.f.distance, distance === null ? "" : distance >= 0 ? "up" : "down");
    set(this.f.fair, fixed(market.fair_up, 4));
    set(this.f["fair-se"], market.fair_se === null || market.fair_se === undefined ? "" : `\u00b1 ${fixed(market.fair_se, 4)}`);
    set(this.f.z, signed(market.z, 3));
    set(this.f.sigma, market.sigma ? market.sigma.toExponential(2) : none);
    const held = ["Up", "Down"].filter((outcome) => market.held[outcome]).map((outcome) => `${shares(market.held[outcome])} ${outcome}`);
    set(this.f.held, held.length ? held.join(", ") : "nothing");
    set(this.f["held-cost"], held.length ? (market.cost_usd < 0 ? `sold for $${dollars(-market.cost_usd / 1e6)} above cost` : `for $${dollars(market.cost_usd / 1e6)}`) : "");
  }

  end() {
    this.spot?.end();
    this.odds?.end();
    this.root.remove();
  }
}

// -- ladder ----------------------------------------------------------------------------------------------------------

function ladder(box, outcome) {
  box.classList.add(outcome.toLowerCase());
  const middle = el("div", { class: "middle" });
  const [asks, bids] = [[], []];
  const row = (side, list, far) => {
    const parts = { bar: el("i", { class: "bar" }), price: el("span", { class: "level" }), own: el("em", { class: "own" }), size: el("span", { class: "size" }) };
    const node = el("div", { class: `rung ${side}${far ? " far" : ""}` }, parts.bar, parts.price, parts.own, parts.size);
    list.push(parts);
    return node;
  };
  box.append(el("div", { class: "ladder-head" }, el("b", {}, outcome), el("span", { class: "muted" }, "price / shares")));
  for (let i = LEVELS; i > 0; i -= 1) box.append(row("ask", asks, i > NEAR));
  asks.reverse();
  box.append(middle);
  for (let i = 1; i <= LEVELS; i += 1) box.append(row("bid", bids, i > NEAR));
  return (quotes, orders) => {
    const shown = [quotes.asks.slice(0, LEVELS), quotes.bids.slice(0, LEVELS)];
    const most = Math.max(1, ...shown.flat().map((level) => level[1]));
    const digits = Math.max(2, ...shown.flat().map((level) => decimals(level[0])));
    const own = new Map();
    for (const order of orders) own.set(order.price_ticks, (own.get(order.price_ticks) ?? 0) + order.shares - order.filled);
    [asks, bids].forEach((rungs, side) =>
      rungs.forEach((parts, i) => {
        const level = shown[side][i];
        set(parts.price, level ? price(level[0], digits) : "");
        set(parts.size, level ? shares(level[1]) : "");
        set(parts.own, level && own.has(level[0]) ? `ours ${shares(own.get(level[0]))}` : "");
        parts.bar.style.width = level ? `${Math.max(1.5, (100 * level[1]) / most).toFixed(1)}%` : "0";
      }),
    );
    const [bid, ask] = [quotes.bid_ticks, quotes.ask_ticks];
    const spread = bid > 0 && ask > 0 ? `spread ${price(ask - bid, digits)}` : "no quote";
    set(middle, `${price(bid, digits)} / ${price(ask, digits)}   ${spread}`);
  };
}

// -- why not ---------------------------------------------------------------------------------------------------------

function strategies(box, market) {
  keyed(
    box,
    market.strategies,
    (one) => one.name,
    (one) =>
      el(
        "div",
        { class: "strategy", "data-strategy": one.name },
        el("div", { class: "strategy-name" }, el("b", {}, one.name), el("span", { class: "state" })),
        el("div", { class: "tally" }, tally("signals"), tally("orders"), tally("dropped"), tally("denied")),
        el("div", { class: "denials" }),
        el("div", { class: "near" }, el("span", { class: "now-text", title: "the gate that blocked it at its last look" }), el("span", { class: "near-text", title: "the closest it came in this window" }), el("div", { class: "meter" }, el("i"))),
      ),
    (node, one) => strategy(node, one),
  );
}

const tally = (name) => el("span", { class: "count", "data-count": name }, el("b"), ` ${name}`);

function strategy(node, one) {
  const denied = Object.entries(one.denied ?? {}).sort((a, b) => b[1] - a[1]);
  const sum = denied.reduce((total, [, times]) => total + times, 0);
  const state = node.querySelector(".state");
  set(state, one.enabled ? (one.orders > 0 ? "trading" : sum > 0 ? "denied" : "waiting") : "off");
  tone(state, one.enabled ? (one.orders > 0 ? "good" : sum > 0 ? "warn" : "") : "off");
  const counts = { signals: one.signals, orders: one.orders, dropped: one.dropped ?? 0, denied: sum };
  for (const [name, value] of Object.entries(counts)) {
    const part = node.querySelector(`[data-count=${name}]`);
    set(part.firstChild, count(value));
    part.classList.toggle("zero", value === 0);
  }
  keyed(node.querySelector(".denials"), denied.slice(0, 4), ([reason]) => reason, ([reason]) => el("span", { class: "chip" }, el("span", {}, reason), " ", el("b")), (chip, [, times]) => set(chip.lastChild, count(times)));
  const near = one.nearest ?? null;
  const miss = one.miss ?? null;
  set(node.querySelector(".now-text"), one.enabled && miss ? gate(miss) : "");
  const when = near && typeof near.left_s === "number" ? ` with ${left(near.left_s)} left` : "";
  const passed = near?.of ? `, ${near.passed} of ${near.of} gates passed` : "";
  set(node.querySelector(".near-text"), one.enabled && near ? `${gate(near)}${when}${passed}` : "");
  const share = near ? closeness(near) : 0;
  node.querySelector(".meter").hidden = !one.enabled || !near;
  node.querySelector(".meter i").style.width = `${(100 * share).toFixed(1)}%`;
}

function gate(miss) {
  if (miss.wanted === "yes") return `${miss.gate} not met`;
  const figure = (value) => (value === null || value === undefined ? "unknown" : Number(value.toPrecision(4)).toString());
  return `${miss.gate} ${figure(miss.value)}, wants ${miss.wanted === "at least" ? "\u2265" : "\u2264"} ${figure(miss.threshold)}`;
}

// How near to passing, 0 to 1: value and threshold as they stand to each other.
function closeness({ wanted, value, threshold }) {
  if (wanted === "yes" || typeof value !== "number" || typeof threshold !== "number") return 0;
  const share = wanted === "at least" ? value / threshold : threshold / value;
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
}
