import {Line} from "./text.jsx";
import {number} from "./format.js";

/**
 * Rows as a table; columns: [{name, label, numeric?, show?: ROW → what stands in the cell}].
 * What comes from data is text that cannot act.
 */
export function DataTable({columns, rows, caption}) {
  return (
    <div class="scroll-x" tabIndex={0} role="group" aria-label={caption}>
      <table>
        {caption && <caption class="visually-hidden">{caption}</caption>}
        <thead>
          <tr>
            {columns.map(({name, label, numeric}) => (
              <th key={name} scope="col" class={numeric ? "numeric" : undefined}>
                {label ?? name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              {columns.map(({name, numeric, show}) => (
                <td key={name} class={numeric ? "numeric" : undefined}>
                  {show ? show(row) : <Cell value={row[name]} />}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({value}) {
  if (value == null) return null;
  if (typeof value === "number") return number(value);
  return <Line text={typeof value === "object" ? JSON.stringify(value) : value} />;
}
