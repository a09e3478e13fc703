/**
 * Rows as CSV (RFC 4180). A text that a sheet would take for a formula gets an apostrophe before it, as in the files
 * that `curate` writes.
 */
export function csv(columns, rows) {
  return [columns.map(({name}) => name), ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (value == null) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  let text = typeof value === "object" ? JSON.stringify(value) : value;
  if (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text))) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
