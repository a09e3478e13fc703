import {Line} from "./text.jsx";

/**
 * Named quantities as bars with their numbers beside them; rows: [{name, value, part?, show}], where `part` of the value
 * is drawn in the colour of `part`, the rest in that of `colour`.
 */
export function Bars({rows, colour = "neutral", of = "dropped", label}) {
  const most = Math.max(...rows.map(({value}) => value), 1e-12);
  return (
    <ul class="bars" aria-label={label}>
      {rows.map(({name, value, part, show, detail}, index) => (
        <li key={index}>
          <span class="bar-name">
            <Line text={name} />
            {detail && (
              <span class="faint">
                {" "}
                <Line text={detail} />
              </span>
            )}
          </span>
          <span class="bar-track" aria-hidden="true">
            <span class="bar" style={{width: `${(100 * value) / most}%`, background: `var(--${colour})`}}>
              {part != null && <span class="bar" style={{width: `${(100 * part) / Math.max(value, 1e-12)}%`, background: `var(--${of})`}} />}
            </span>
          </span>
          <span class="bar-number">{show}</span>
        </li>
      ))}
    </ul>
  );
}
