// Numbers and quantities as people read them. null and undefined become a dash.
const NONE = "–";
const counts = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const compacts = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});
const shares = new Intl.NumberFormat("en", {style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1});
const numbers = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});

/** 12,040 */
export const count = (value) => (value == null ? NONE : counts.format(value));

/** 12,040 documents, 1 document */
export const counted = (value, noun, nouns = `${noun}s`) => `${count(value)} ${value === 1 ? noun : nouns}`;

/** 1.23M */
export const compact = (value) => (value == null ? NONE : Math.abs(value) < 10_000 ? count(value) : compacts.format(value));

/** 41.3 %, and never 0 % or 100 % of what is not. */
export function share(part, whole = 1) {
  if (part == null || !whole) return NONE;
  const value = part / whole;
  if (value === 0 || value === 1) return `${100 * value}\u202f%`;
  if (value > 0 && value < 0.0005) return "< 0.1\u202f%";
  if (value < 1 && value > 0.9995) return "> 99.9\u202f%";
  return shares.format(value).replace("%", "\u202f%");
}

/** 40 %, at a tick of an axis */
export const tickShare = (value) => `${numbers.format(100 * value)}\u202f%`;

/** Three significant digits; very large and very small ones as powers of ten. */
export function number(value) {
  if (value == null) return NONE;
  const size = Math.abs(value);
  const shown = size !== 0 && (size < 1e-4 || size >= 1e9) ? value.toExponential(2).replace("e+", "e") : size >= 1000 ? count(value) : numbers.format(value);
  return shown.replaceAll("-", "\u2212");
}

/** 4.2 MB, of 1,000 kB each */
export function bytes(value) {
  if (value == null) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${power ? numbers.format(value / 1000 ** power) : count(value)} ${units[power]}`;
}

/** 0.4 s, 12 s, 3 min 20 s, 2 h 5 min */
export function duration(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 0.001) return "0 s";
  if (seconds < 10) return `${numbers.format(Number(seconds.toPrecision(2)))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** 1 Dec 2026, 00:43, where the reader is; from ISO 8601 */
export function time(iso) {
  const date = new Date(iso);
  if (iso == null || Number.isNaN(date.valueOf())) return NONE;
  return new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "short"}).format(date);
}

/** `a`, `b` and `c` */
export const list = (items) => new Intl.ListFormat("en").format(items);
