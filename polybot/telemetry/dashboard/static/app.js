// The page: one websocket to the dashboard, everything shown from its last look, and never old data as if it were live.
//
//   body[data-state]  connecting | live | gone (the daemon) | lost (the dashboard) | none (no daemon) | refused (token)
//   body[data-look]   number of the look that is shown; GET /api/watch?number=... is that answer in full

import { Activity } from "./activity.js";
import { moneyChart } from "./charts.js";
import { el, forget, keyed, set, show, tone } from "./dom.js";
import { clock, left, localClock } from "./format.js";
import { MarketCard, emptyCurve, extend } from "./market.js";
import { byStrategy, counters, feeds, health, holdings, latency, telemetry, tiles } from "./panels.js";

const $ = (id) => document.getElementById(id);
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const LATE_MS = 4000; // no look for so long: what is shown is old
const FILLS = 200;
const MONEY_POINTS = 1500;

const page = {
  socket: null,
  tries: 0,
  limits: { watch_ms: 500, feed_warn_s: 2, feed_bad_s: 5 },
  name: "", // of the daemon that is shown
  chosen: "", // by the viewer; "" the one that lives
  curves: new Map(),
  money: null,
  fills: [],
  cards: new Map(),
  missed: 0,
  facts: null,
  heardAt: 0,
  lostSince: null,
  gone: null,
};
const activity = new Activity($("events"), $("tabs"));
let money = null;

// -- the line --------------------------------------------------------------------------------------------------------

function connect() {
  const query = page.chosen ? `?daemon=${encodeURIComponent(page.chosen)}` : "";
  const socket = new WebSocket(`ws://${location.host}/live${query}`);
  page.socket = socket;
  socket.onmessage = (message) => {
    if (socket === page.socket) hear(JSON.parse(message.data));
  };
  socket.onclose = () => {
    if (socket !== page.socket) return;
    page.lostSince ??= Date.now();
    state("lost");
    setTimeout(retry, RETRY_MS[Math.min(page.tries, RETRY_MS.length - 1)]);
    page.tries += 1;
  };
}

async function retry() {
  try {
    const answer = await fetch("/api/daemons", { cache: "no-store" });
    if (answer.status === 401) return state("refused");
  } catch {
    // not there yet: the socket's own failure comes back here
  }
  return connect();
}

function hear(message) {
  page.heardAt = performance.now();
  page.tries = 0;
  page.lostSince = null;
  if (message.daemons) daemons(message.daemons);
  ({ hello, history, look, gone, back, none })[message.type]?.(message);
}

function hello(message) {
  page.limits = message;
}

function history(message) {
  page.name = message.name;
  page.curves = new Map(Object.entries(message.curves));
  page.money = message.money;
  page.missed = message.events_missed;
  page.fills = message.events.filter(isFill).slice(-FILLS);
  page.facts = null;
  page.gone = null;
  for (const card of page.cards.values()) card.end();
  page.cards.clear();
  forget($("markets"));
  activity.replace(message.events);
  $("daemons").value = page.chosen;
}

function look(message) {
  page.facts = message.facts;
  page.gone = message.gone_ms === null ? null : { since_ms: message.gone_ms, why: message.gone_why };
  page.missed += message.events_missed ?? 0;
  page.fills = [...page.fills, ...message.events.filter(isFill)].slice(-FILLS);
  if (message.events.length) activity.add(message.events);
  render(message);
  document.body.dataset.look = String(message.number);
  document.body.dataset.daemon = message.name;
  state(page.gone ? "gone" : "live");
}

function gone(message) {
  page.gone = message;
  state("gone");
}

function back() {
  page.gone = null;
  state("live");
}

function none() {
  page.facts = null;
  state("none");
}

const isFill = (event) => event.kind === "fill" && event.data?.is_first !== false;

// -- what is shown ---------------------------------------------------------------------------------------------------

function render(message) {
  const { facts } = page;
  const nowMs = facts.now_ns / 1e6;
  set($("clock"), clock(nowMs));
  chips(facts);
  tiles($("tiles"), facts);
  markets(facts, nowMs);
  extendMoney(facts, nowMs);
  byStrategy($("by-strategy"), facts.totals);
  holdings($("holdings"), facts);
  feeds($("feeds"), facts.feeds, page.limits);
  health($("health"), facts);
  latency($("latency").tBodies[0], facts.latency ?? []);
  telemetry($("telemetry"), $("telemetry-word"), facts, page.missed);
  counters($("counters"), facts);
  set($("look"), `look ${message.number}`);
  document.title = `${facts.asset.toUpperCase()} ${facts.interval} ${titleWord(facts)} polybot`;
}

function markets(facts, nowMs) {
  const box = $("markets");
  const shown = [...facts.markets].sort((a, b) => rank(a, nowMs) - rank(b, nowMs) || a.start_ns - b.start_ns);
  keyed(
    box,
    shown,
    (market) => market.slug,
    (market) => {
      const card = new MarketCard(market);
      page.cards.set(market.slug, card);
      return card.root;
    },
    () => {},
  );
  for (const [slug, card] of page.cards) {
    if (!shown.some((market) => market.slug === slug)) {
      card.end();
      page.cards.delete(slug);
    }
  }
  for (const market of shown) {
    if (!page.curves.has(market.slug)) page.curves.set(market.slug, { ...emptyCurve(), step_ms: stepOf(market) });
    const curve = page.curves.get(market.slug);
    if (nowMs <= market.end_ns / 1e6) extend(curve, market, nowMs);
    const fills = page.fills.filter((event) => event.slug === market.slug).map((event) => ({ t: event.ts_ns / 1e9, price: event.data.price_ticks / 1e4, outcome: event.data.outcome, side: event.data.side }));
    const orders = facts.orders.shown.filter((order) => order.slug === market.slug);
    page.cards.get(market.slug).update(market, { nowMs, curve, fills, orders });
  }
  while (page.curves.size > 24) page.curves.delete(page.curves.keys().next().value);
  box.dataset.none = shown.length ? "" : "no window is followed now";
}

// Traded windows that run come first, then those to come, then those that wait for their outcome, then observed ones.
function rank(market, nowMs) {
  if (market.observed) return 3;
  if (nowMs >= market.end_ns / 1e6) return 2;
  return nowMs >= market.start_ns / 1e6 ? 0 : 1;
}

const stepOf = (market) => Math.max(1, Math.ceil(((market.end_ns - market.start_ns) / 1e6 + 60000) / 600));

function extendMoney(facts, nowMs) {
  page.money ??= { t_ms: [], day_usd: [], session_usd: [], marked_usd: [] };
  const row = { t_ms: nowMs, day_usd: facts.pnl.day_usd, session_usd: facts.totals?.pnl_usd ?? null, marked_usd: facts.pnl.marked_usd };
  const last = page.money.t_ms.length - 1;
  if (last < 0 || nowMs > page.money.t_ms[last]) pushMoney(row);
  money ??= moneyChart($("money-chart"));
  money.update(page.money);
}

function pushMoney(row) {
  for (const [name, value] of Object.entries(row)) {
    page.money[name].push(value);
    if (page.money[name].length > MONEY_POINTS) page.money[name].shift();
  }
}

// -- head ------------------------------------------------------------------------------------------------------------

function chips(facts) {
  const list = [[`${facts.asset.toUpperCase()} ${facts.interval}`, "plain"]];
  if (facts.venue === "sim") list.push(["SIMULATED", "simulated", "embedded venue on this machine, test money"]);
  else if (facts.mode === "paper") list.push(["SIMULATED FILLS", "simulated", "real feeds, no real orders"]);
  else list.push(["REAL MONEY", "real", "orders go to the real venue"]);
  list.push([`mode ${facts.mode}`, "plain"], [`risk ${facts.risk}`, "plain"]);
  if (Math.abs(facts.speed - 1) > 1e-9) list.push([`${Number(facts.speed.toPrecision(4))}x speed`, "simulated"]);
  keyed($("chips"), list, ([text]) => text, ([text, kind, title]) => el("span", { class: `chip ${kind}`, title }, text), () => {});
}

function verdict(facts) {
  const halt = facts.halts[0];
  if (facts.stopping) return ["warn", "STOPPING", "no new orders, what rests is cancelled"];
  if (halt) return ["bad", `HALTED (${facts.halts.map((one) => one.kind).join(", ")})`, `by ${halt.by}: ${halt.reason || "no reason given"}`];
  if (!facts.ready) return ["warn", "STARTING", "entries are closed until everything was compared"];
  if (!facts.entries.open) return ["warn", "ENTRIES CLOSED", `by ${facts.entries.reason}`];
  if (facts.health && !facts.health.ok) return ["warn", "NOT WELL", facts.health.reasons.join(", ")];
  return ["good", "TRADING", "entries are open"];
}

function titleWord(facts) {
  const live = facts.markets.find((market) => !market.observed && market.left_s > 0 && market.left_s < 36000);
  return live ? `${left(live.left_s)}` : "";
}

function state(name) {
  document.body.dataset.state = name;
  const { facts } = page;
  const since = (ms) => `since ${localClock(ms)}, for ${left((Date.now() - ms) / 1e3)}`;
  const words = {
    connecting: ["off", "CONNECTING", ""],
    none: ["off", "NO DAEMON", "none is running here; it is shown as soon as one starts: python -m polybot run"],
    lost: ["off", "NO CONNECTION", `nothing heard from the dashboard ${since(page.lostSince ?? Date.now())}; trying again`],
    gone: ["off", "DAEMON GONE", page.gone ? `${since(page.gone.since_ms)}${page.gone.why ? `: ${page.gone.why}` : ""}; what is below is how it stood then` : ""],
    refused: ["bad", "REFUSED", "the token is not valid any more: open the address that the dashboard printed"],
    late: ["off", "NO NEWS", `no look for ${left((performance.now() - page.heardAt) / 1e3)}; what is below is old`],
  }[name] ?? verdict(facts);
  tone($("banner"), words[0]);
  set($("banner-word"), words[1]);
  set($("banner-text"), words[2]);
  subline(facts);
  set($("link-text"), name === "live" ? "live" : name);
}

function subline(facts) {
  const where = facts ? `${facts.mode.toUpperCase()} on ${facts.venue.toUpperCase()}${facts.venue === "sim" ? " (SIMULATED: embedded venue, test money)" : ""}` : "";
  const who = facts ? `account ${facts.account}   session ${facts.session}   process ${facts.pid}   polybot ${facts.version}` : "";
  set($("banner-where"), where);
  set($("banner-who"), who);
}

function daemons(list) {
  show($("pick"), list.length > 1);
  const options = [{ name: "", live: true, text: "the one that lives" }, ...list.map((one) => ({ ...one, text: `${one.asset ? `${one.asset.toUpperCase()} ${one.interval} ${one.mode}/${one.venue} ` : ""}${one.name.slice(0, 24)}${one.live ? "" : " (gone)"}` }))];
  keyed($("daemons"), options, (one) => one.name, (one) => el("option", { value: one.name }), (node, one) => set(node, one.text));
}

$("daemons").addEventListener("change", (event) => {
  page.chosen = event.target.value;
  page.socket.onclose = null;
  page.socket.close();
  connect();
});

setInterval(() => {
  const now = document.body.dataset.state;
  if ((now === "live" || now === "late") && performance.now() - page.heardAt > Math.max(LATE_MS, 4 * page.limits.watch_ms)) state("late");
  else if (["gone", "lost"].includes(now)) state(now);
}, 500);

connect();
