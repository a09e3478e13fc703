import {useEffect, useState} from "preact/hooks";
import {Histogram, Line} from "../components/index.js";
import {address, useAnswer} from "./api.js";
import {comparisons, withValue} from "./gate.js";
import {Waiting} from "./parts.jsx";
import {Slider} from "./slider.jsx";

/** One gate: its expression, and for each of its numbers a histogram with a slider. */
export function Gate({run, stage, expression, onChange}) {
  const numbers = comparisons(expression);
  const originals = comparisons(stage.gate);
  return (
    <section class="gate card" aria-labelledby={`gate-${stage.stage}`}>
      <header>
        <h2 id={`gate-${stage.stage}`}>
          <Line text={stage.stage} /> {stage.kind !== stage.stage && <span class="faint"><Line text={stage.kind} /></span>}
        </h2>
        {expression !== stage.gate && (
          <button type="button" onClick={() => onChange(stage.gate)} aria-label={`reset the gate of ${stage.stage}`}>
            Reset
          </button>
        )}
      </header>
      <Expression stage={stage.stage} value={expression} onChange={onChange} />
      {!numbers.length && <p class="note">It compares no column with a number, so there is nothing to slide; the condition can be edited.</p>}
      {numbers.map((comparison, index) => (
        <Measurement
          key={`${comparison.field} ${index}`}
          {...{run, stage, comparison}}
          original={originals[index]?.field === comparison.field ? originals[index].value : null}
          onValue={(value) => onChange(withValue(expression, comparison, value))}
        />
      ))}
    </section>
  );
}

/** The gate as SQL. It is taken over when one leaves the field or presses Enter. */
function Expression({stage, value, onChange}) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const take = () => text.trim() && text !== value && onChange(text.trim());
  return (
    <input
      class="expression"
      aria-label={`gate of ${stage}, an SQL condition`}
      value={text}
      spellcheck={false}
      autocomplete="off"
      onInput={(event) => setText(event.target.value)}
      onChange={take}
      onKeyDown={(event) => event.key === "Escape" && setText(value)}
    />
  );
}

function Measurement({run, stage, comparison, original, onValue}) {
  const {field, operator, value} = comparison;
  const name = field.includes(".") ? field : `${stage.stage}.${field}`;
  const answer = useAnswer(address(`runs/${run}/histogram`, {field: name}));
  return (
    <div class="measurement">
      <Waiting answer={answer} what="Drawing">
        {(data) => (
          <Histogram data={data} heading="h3" bounds={[{operator, value}]} lead={null} legend={false}>
            <Slider
              data={data}
              value={value}
              original={original}
              label={`${field} ${operator}`}
              onValue={onValue}
            />
          </Histogram>
        )}
      </Waiting>
    </div>
  );
}
