// The charts: spot against strike, model against market for both outcomes, and the money; all by uPlot.
// Colours come from the style sheet, so they follow the light or dark theme; charts are made anew when it changes.

import { el, set } from "./dom.js";
import { clock, dollars, fixed, minute, none, price } from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const HEIGHT = 168;
const theme = window.matchMedia("(prefers-color-scheme: light)");
const charts = new Set();
theme.addEventListener("change", () => charts.forEach((chart) => chart.rebuild()));

class Chart {
  constructor(box, legend, options) {
    this.box = box;
    this.legend = legend;
    this.options = options;
    this.data = [[]];
    this.plot = null;
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(box);
    charts.add(this);
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (this.box.clientWidth > 0) this.build();
  }

  build() {
    this.plot = new window.uPlot({ ...this.options(this), width: this.box.clientWidth, height: this.height() }, this.data, this.box);
  }

  height() {
    return this.box.clientHeight || HEIGHT;
  }

  fit() {
    if (!this.plot) this.rebuild();
    else if (this.plot.width !== this.box.clientWidth) this.plot.setSize({ width: this.box.clientWidth, height: this.height() });
  }

  update(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.rebuild();
    this.say();
  }

  // The row under the cursor, else the last one.
  row() {
    const at = this.plot?.cursor.idx;
    return at === null || at === undefined ? this.data[0].length - 1 : at;
  }

  say() {
    if (this.legend) this.legend(this.data, this.row());
  }

  end() {
    this.watcher.disconnect();
    this.plot?.destroy();
    charts.delete(this);
  }
}

const pen = (name, width = 1.5, more = {}) => ({ stroke: colour(name), width: width, points: { show: false }, ...more });

function axes(values, size = 58) {
  const [ink, line] = [colour("muted"), colour("line")];
  const font = "11px system-ui, sans-serif";
  const common = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return [
    { ...common, space: 70, size: 24, values: (plot, splits) => splits.map((at, i) => timeWord(plot, at, i, splits)) },
    { ...common, space: 32, size, values: (plot, splits) => splits.map(values) },
  ];
}

function timeWord(plot, at, i, splits) {
  const step = splits.length > 1 ? splits[1] - splits[0] : 60;
  return step < 60 ? clock(at * 1e3) : minute(at * 1e3);
}

function common(chart, key) {
  return {
    legend: { show: false },
    cursor: { sync: key ? { key } : undefined, drag: { x: false, y: false }, points: { size: 6 } },
    padding: [8, 18, 0, 0],
    hooks: { setCursor: [() => chart.say()] },
  };
}

// -- spot and strike -------------------------------------------------------------------------------------------------

function around(strikeOf) {
  return (plot, low, high) => {
    const strike = strikeOf();
    if (low === null || low === undefined) [low, high] = [strike ?? 0, strike ?? 1];
    if (strike) [low, high] = [Math.min(low, strike), Math.max(high, strike)];
    const room = Math.max((high - low) * 0.12, Math.abs(high) * 2e-5);
    return [low - room, high + room];
  };
}

// Green above the strike, red below it.
function shade(strikeOf) {
  return (plot) => {
    const strike = strikeOf();
    const { top, height } = plot.bbox;
    if (!strike || height <= 0) return "transparent";
    const at = Math.min(1, Math.max(0, (plot.valToPos(strike, "y", true) - top) / height));
    const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
    const [up, down] = [colour("up-soft"), colour("down-soft")];
    for (const [stop, tint] of [[0, up], [at, up], [at, down], [1, down]]) gradient.addColorStop(stop, tint);
    return gradient;
  };
}

export function spotChart(box, legendBox, market) {
  const words = { spot: el("b"), strike: el("b"), at: el("span", { class: "muted" }) };
  legendBox.append(key("spot", "spot", words.spot), key("strike", "strike dashed", words.strike), words.at);
  const state = { strike: null };
  const chart = new Chart(
    box,
    (data, row) => {
      set(words.spot, row >= 0 ? dollars(data[1][row]) : none);
      set(words.strike, row >= 0 ? dollars(data[2][row]) : none);
      set(words.at, row >= 0 ? clock(data[0][row] * 1e3) : "");
    },
    (self) => ({
      ...common(self, market.slug),
      scales: { x: { time: true, range: () => span(market, self.data[0]) }, y: { range: around(() => state.strike) } },
      axes: axes((value) => value.toLocaleString("en-US", { maximumFractionDigits: value > 1000 ? 0 : 4 })),
      series: [
        {},
        pen("spot", 2, { fill: shade(() => state.strike), fillTo: () => state.strike ?? 0 }),
        pen("strike", 1.5, { dash: [6, 4] }),
      ],
    }),
  );
  return {
    update(curve, strike) {
      state.strike = strike || null;
      chart.update([curve.t_ms.map((ms) => ms / 1e3), curve.spot, curve.strike]);
    },
    end: () => chart.end(),
  };
}

// From the first look (at most half a minute before the start) to the end: what is empty is the time that is left.
function span(market, times) {
  const [start, end] = [market.start_ns / 1e9, market.end_ns / 1e9];
  const lead = Math.min(30, (end - start) * 0.1);
  return [Math.max(start - lead, Math.min(times[0] ?? start, start)), end];
}

// -- model and market ------------------------------------------------------------------------------------------------

const TICK = 1e4;
const scaled = (column) => column.map((ticks) => (ticks === null ? null : ticks / TICK));

function marks(list) {
  return (plot) => {
    const { ctx } = plot;
    ctx.save();
    for (const fill of list()) {
      const [x, y] = [plot.valToPos(fill.t, "x", true), plot.valToPos(fill.price, "y", true)];
      if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
      const size = 5 * devicePixelRatio;
      const lift = fill.side === "Sell" ? -1 : 1;
      ctx.beginPath();
      ctx.moveTo(x, y - size * lift);
      ctx.lineTo(x - size, y + size * lift);
      ctx.lineTo(x + size, y + size * lift);
      ctx.closePath();
      ctx.fillStyle = colour(fill.outcome === "Up" ? "up" : "down");
      ctx.strokeStyle = colour("panel");
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  };
}

export function oddsChart(box, legendBox, market) {
  const words = { up: el("b"), upFair: el("b"), down: el("b"), downFair: el("b") };
  legendBox.append(
    key("Up bid/ask", "up band", words.up),
    key("fair", "up", words.upFair),
    key("Down bid/ask", "down band", words.down),
    key("fair", "down", words.downFair),
  );
  const state = { fills: [] };
  const both = (bid, ask) => `${bid === null || bid === undefined ? none : price(Math.round(bid * TICK))} / ${ask === null || ask === undefined ? none : price(Math.round(ask * TICK))}`;
  const chart = new Chart(
    box,
    (data, row) => {
      const at = (i) => (row >= 0 ? data[i][row] : null);
      set(words.up, both(at(2), at(1)));
      set(words.upFair, fixed(at(5), 3));
      set(words.down, both(at(4), at(3)));
      set(words.downFair, fixed(at(6), 3));
    },
    (self) => {
      const options = common(self, market.slug);
      options.hooks.draw = [marks(() => state.fills)];
      const [up, down] = [colour("up-soft"), colour("down-soft")];
      return {
        ...options,
        scales: { x: { time: true, range: () => span(market, self.data[0]) }, y: { range: [0, 1] } },
        axes: axes((value) => value.toFixed(1)),
        series: [{}, pen("up", 1), pen("up", 1), pen("down", 1), pen("down", 1), pen("up-strong", 2.2), pen("down-strong", 2.2)],
        bands: [{ series: [1, 2], fill: up }, { series: [3, 4], fill: down }],
      };
    },
  );
  return {
    update(curve, fills) {
      state.fills = fills;
      const times = curve.t_ms.map((ms) => ms / 1e3);
      const quotes = [curve.up_ask, curve.up_bid, curve.down_ask, curve.down_bid].map(scaled);
      const down = curve.fair_up.map((fair) => (fair === null ? null : 1 - fair));
      chart.update([times, ...quotes, curve.fair_up, down]);
    },
    end: () => chart.end(),
  };
}

function key(text, kind, value) {
  return el("span", { class: "key" }, el("i", { class: kind }), text, " ", value);
}

// -- money -----------------------------------------------------------------------------------------------------------

export function moneyChart(box) {
  const chart = new Chart(box, null, (self) => ({
    ...common(self, ""),
    padding: [8, 28, 0, 0],
    scales: { x: { time: true }, y: { range: (plot, low, high) => aroundZero(low, high) } },
    axes: axes((value) => `${value < 0 ? "\u2212" : ""}$${Math.abs(value).toFixed(Math.abs(value) < 10 ? 2 : 0)}`, 62),
    series: [{}, pen("spot", 2, { paths: window.uPlot.paths.stepped({ align: 1 }), fill: colour("spot-soft"), fillTo: () => 0 }), pen("muted", 1, { dash: [3, 3] })],
  }));
  return {
    update(money) {
      const session = money.session_usd.map((usd) => (usd === null ? null : usd / 1e6));
      const marked = money.marked_usd.map((usd, i) => (usd === null || session[i] === null ? null : session[i] + usd / 1e6));
      chart.update([money.t_ms.map((ms) => ms / 1e3), session, marked]);
    },
  };
}

function aroundZero(low, high) {
  const [bottom, top] = [Math.min(0, low ?? 0), Math.max(0, high ?? 0)];
  const room = Math.max((top - bottom) * 0.1, 0.5);
  return [bottom - room, top + room];
}
