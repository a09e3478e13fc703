import {useId} from "preact/hooks";

/** A choice of a few; options: [{value, label}]. */
export function Choice({label, options, value, onChange}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="visually-hidden">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input type="radio" name={name} checked={option.value === value} onChange={() => onChange(option.value)} />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}

export function Legend({items}) {
  return (
    <ul class="legend">
      {items.map(({colour, label}) => (
        <li key={label}>
          <span class="swatch" style={{background: `var(--${colour})`}} />
          {label}
        </li>
      ))}
    </ul>
  );
}

export const Note = ({text}) => (text ? <p class="note">{text}</p> : null);

/** What is there for those who ask. */
export function More({summary, children, open = false}) {
  return (
    <details class="more" open={open}>
      <summary>{summary}</summary>
      {children}
    </details>
  );
}
