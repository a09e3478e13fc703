// Numbers in a gate that a slider can move: gopher.words >= 50 and gopher.stop_words >= 2 has two.
const TOKEN = /\s+|--[^\n]*|'(?:[^']|'')*'|(?<name>"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*)|(?<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(?<operator><=|>=|<>|!=|==|[<>=])|[^]/giu;
const FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"};
const WORDS = new Set(["and", "or", "not", "between", "in", "is", "null", "like", "case", "when", "then", "else", "end", "true", "false"]);

/** Comparisons of a column with a number: [{field, operator, value, start, end}], by place in the text. */
export function comparisons(expression) {
  const tokens = [...terms(expression)];
  const found = [];
  for (const [index, token] of tokens.entries()) {
    const [before, next, after] = [tokens[index - 1], tokens[index + 1], tokens[index + 2]];
    if (token.field != null && next?.operator && after?.number != null && !arithmetic(before) && !arithmetic(tokens[index + 3]))
      found.push({field: token.field, operator: next.operator, value: after.number, start: after.start, end: after.end});
    if (token.number != null && next?.operator && after?.field != null && !arithmetic(before) && !arithmetic(tokens[index + 3]))
      found.push({field: after.field, operator: FLIPPED[next.operator], value: token.number, start: token.start, end: token.end});
    if (token.field != null && next?.word === "between" && after?.number != null && tokens[index + 3]?.word === "and" && tokens[index + 4]?.number != null)
      for (const [at, operator] of [[2, ">="], [4, "<="]]) {
        const {number: value, start, end} = tokens[index + at];
        found.push({field: token.field, operator, value, start, end});
      }
  }
  return found.sort((a, b) => a.start - b.start);
}

/** The expression with another number at a comparison. */
export const withValue = (expression, {start, end}, value) => `${expression.slice(0, start)}${value}${expression.slice(end)}`;

const arithmetic = (token) => token?.other != null && "+-*/%^|&".includes(token.other);

/** Tokens, with names joined by dots to one field, and a sign joined to its number. */
function* terms(expression) {
  const tokens = [...expression.matchAll(TOKEN)].filter(([text]) => !/^(\s|--)/.test(text));
  for (let index = 0; index < tokens.length; index++) {
    const {0: text, index: start, groups} = tokens[index];
    const following = tokens[index + 1];
    const end = start + text.length;
    if (groups.name && WORDS.has(text.toLowerCase())) yield {word: text.toLowerCase()};
    else if (groups.name) {
      const names = [plain(text)];
      while (tokens[index + 1]?.[0] === "." && tokens[index + 2]?.groups.name) {
        names.push(plain(tokens[index + 2][0]));
        index += 2;
      }
      if (tokens[index + 1]?.[0] === "(") yield {word: "function"};
      else yield {field: names.join(".")};
    } else if (groups.number) yield {number: Number(text), start, end};
    else if (text === "-" && following?.groups.number && !operand(tokens[index - 1])) {
      yield {number: -Number(following[0]), start, end: following.index + following[0].length};
      index++;
    } else if (groups.operator) yield {operator: {"!=": "<>", "==": "="}[text] ?? text};
    else yield {other: text};
  }
}

/** Whether a minus after it subtracts. */
const operand = (token) => token && ((token.groups.name && !WORDS.has(token[0].toLowerCase())) || token.groups.number || token[0] === ")");

const plain = (name) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);
