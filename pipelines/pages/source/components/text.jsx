// Text from documents. It reaches the page as text nodes alone, and none of it steers the page: each text is isolated
// from the direction of what stands around it, and characters that cannot be seen are shown by their code.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]|\p{Cs}|\p{Co}/gu;
const MOST = 2000; // elements; a text of control characters alone would else make a page of them

/** One line from outside: a name, a path, an id, a reason. */
export function Line({text, code = false}) {
  const shown = visible(String(text ?? "").replace(/\s*\n\s*/g, " "));
  return code ? <code class="line" dir="auto">{shown}</code> : <bdi class="line">{shown}</bdi>;
}

/** A text of several lines, with `children` in its place where parts of it are marked. */
export function Block({text, children, label}) {
  return (
    <div class="block" dir="auto" tabIndex={0} role="group" aria-label={label ?? "text of the document"}>
      {children ?? visible(text)}
    </div>
  );
}

/** The text as strings and elements in which nothing is hidden. */
export function visible(text) {
  if (text == null) return null;
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match[0] === "\r" && text[match.index + 1] === "\n") continue;
    if (parts.length >= MOST) {
      parts.push(text.slice(from).replace(HIDDEN, "\ufffd"));
      return parts;
    }
    if (match.index > from) parts.push(text.slice(from, match.index));
    parts.push(<Hidden character={match[0]} />);
    from = match.index + match[0].length;
  }
  if (!parts.length) return text;
  parts.push(text.slice(from));
  return parts;
}

const NAMES = {0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0c: "FF", 0x0d: "CR", 0x1b: "ESC", 0x7f: "DEL", 0xad: "SHY", 0x200b: "ZWSP", 0x200e: "LRM", 0x200f: "RLM", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM"};

function Hidden({character}) {
  const point = character.codePointAt(0);
  const hex = point.toString(16).toUpperCase().padStart(4, "0");
  return (
    <span class="hidden-character" title={`U+${hex}`}>
      {NAMES[point] ?? hex}
    </span>
  );
}
