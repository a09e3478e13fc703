import {useEffect, useState} from "preact/hooks";
import {number} from "../components/index.js";

const PLACES = 1000;

/**
 * A threshold on the axis of its histogram: a slider under the drawing, and a field for the exact number. `data` is the
 * Histogram, whose edges and scale are the slider's.
 */
export function Slider({data, value, original, label, onValue}) {
  const axis = axisOf(data);
  const move = (event) => {
    const place = Number(event.target.value);
    const moved = axis.value(place);
    // Where many places are one value, a key still goes to the next one.
    onValue(moved === value && place !== axis.place(value) ? tidy(value + Math.sign(place - axis.place(value)) * axis.step(value)) : moved);
  };
  return (
    <div class="slider">
      <input
        type="range"
        min={0}
        max={PLACES}
        step={1}
        value={axis.place(value)}
        aria-label={label}
        aria-valuetext={number(value)}
        onInput={move}
      />
      <div class="slider-number">
        <NumberField value={value} step={axis.step(value)} label={`${label} (number)`} onValue={onValue} />
        {original != null && original !== value && (
          <button type="button" onClick={() => onValue(original)} aria-label={`${label}: back to ${original}`}>
            was {number(original)}
          </button>
        )}
      </div>
    </div>
  );
}

/** A number that is taken as soon as it is one. */
function NumberField({value, step, label, onValue}) {
  const [text, setText] = useState(String(value));
  useEffect(() => setText((shown) => (Number(shown) === value && shown !== "" ? shown : String(value))), [value]);
  const take = (event) => {
    setText(event.target.value);
    if (event.target.value !== "" && Number.isFinite(Number(event.target.value))) onValue(Number(event.target.value));
  };
  return <input type="number" value={text} step={step} aria-label={label} onInput={take} onBlur={() => setText(String(value))} />;
}

/** Between values and places 0 to 1000, as the drawing's axis is spaced. */
function axisOf({edges, scale, type}) {
  const [low, high] = [edges[0], edges.at(-1)];
  const [forward, back] = scale !== "log" ? [(x) => x, (x) => x] : low > 0 ? [Math.log, Math.exp] : [symlog, symexp];
  const [from, to] = [forward(low), forward(high)];
  const step = (value) => {
    const size = scale === "log" ? Math.max(Math.abs(value), 1e-9) / 100 : (high - low) / PLACES;
    const power = 10 ** Math.floor(Math.log10(size || 1));
    return type === "number" ? power : Math.max(1, power);
  };
  return {
    step,
    place: (value) => Math.round((PLACES * (forward(Math.min(Math.max(value, low), high)) - from)) / (to - from || 1)),
    value: (place) => {
      const exact = back(from + ((to - from) * place) / PLACES);
      return tidy(Math.round(exact / step(exact)) * step(exact));
    },
  };
}

const symlog = (x) => Math.sign(x) * Math.log1p(Math.abs(x));
const symexp = (x) => Math.sign(x) * Math.expm1(Math.abs(x));
const tidy = (value) => Number(value.toPrecision(10));
