// Numbers as people read them.  Money comes in micro-USD, sizes in micro-shares, prices in ticks of 0.0001.

const NONE = "\u2013";
const plain = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const [WHOLE, TWO] = [plain(0), plain(2)];

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (isNumber(value) ? WHOLE.format(value) : NONE);
export const fixed = (value, digits) => (isNumber(value) ? value.toFixed(digits) : NONE);
export const signed = (value, digits) => (isNumber(value) ? `${value >= 0 ? "+" : "\u2212"}${Math.abs(value).toFixed(digits)}` : NONE);
export const dollars = (value) => (isNumber(value) ? TWO.format(value) : NONE);

export function usd(micro) {
  return isNumber(micro) ? `${micro < 0 ? "\u2212" : ""}$${TWO.format(Math.abs(micro) / 1e6)}` : NONE;
}

export function pnl(micro) {
  if (!isNumber(micro)) return NONE;
  const cents = Math.round(Math.abs(micro) / 1e4);
  return `${cents === 0 ? "" : micro < 0 ? "\u2212" : "+"}$${TWO.format(Math.abs(micro) / 1e6)}`;
}

export const pnlTone = (micro) => (!isNumber(micro) || Math.abs(micro) < 5000 ? "" : micro > 0 ? "good" : "bad");

// Decimals that a price in ticks needs: 2, or more where the venue's tick is finer.
export const decimals = (ticks) => (ticks % 100 === 0 ? 2 : ticks % 10 === 0 ? 3 : 4);

export function price(ticks, digits = isNumber(ticks) ? decimals(ticks) : 2) {
  return isNumber(ticks) && ticks > 0 ? (ticks / 1e4).toFixed(digits) : NONE;
}

export function shares(micro) {
  if (!isNumber(micro)) return NONE;
  const value = micro / 1e6;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return value.toLocaleString("en-US", { maximumFractionDigits: value < 100 ? 2 : 0 });
}

export function micros(us) {
  if (!isNumber(us)) return NONE;
  if (us < 1e3) return `${us < 10 ? us.toFixed(1) : us.toFixed(0)} \u00b5s`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(2)} s`;
}

export function age(seconds) {
  if (!isNumber(seconds)) return "never";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

export function left(seconds) {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.floor(Math.abs(seconds)));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = `${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

const pad = (value) => String(value).padStart(2, "0");

export function clock(ms) {
  const at = new Date(ms);
  return `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
}

export function minute(ms) {
  return clock(ms).slice(0, 5);
}

export function localClock(ms) {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export const none = NONE;
