import * as Plot from "@observablehq/plot";
import {useEffect, useRef, useState} from "preact/hooks";

/**
 * A drawing by Observable Plot that is as wide as its column.
 *
 * options: WIDTH in pixels → Plot's options; label: what a reader who cannot see it is told; inputs: what the drawing
 * depends on, as for useEffect.
 */
export function Chart({options, label, inputs = [], ...rest}) {
  const box = useRef(null);
  const width = useWidth(box);
  useEffect(() => {
    if (!width) return;
    const {x, y, ...rest} = options(width);
    const style = {fontFamily: "inherit", fontSize: "12px"};
    const drawing = Plot.plot({className: "plot", style, x: {tickSize: 0, ...x}, y: {tickSize: 0, ...y}, ...rest, width});
    drawing.querySelectorAll("[aria-label]").forEach((part) => part.removeAttribute("aria-label")); // one image, one label
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", label);
    box.current.replaceChildren(drawing);
  }, [width, label, ...inputs]);
  return <div class="chart" ref={box} {...rest} />;
}

function useWidth(box) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const look = () => setWidth(Math.round(box.current?.clientWidth ?? 0));
    const observer = new ResizeObserver(look);
    look();
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** Colours of what is drawn, as the page's theme has them. */
export const COLOURS = {
  kept: "var(--kept)",
  dropped: "var(--dropped)",
  errored: "var(--errored)",
  neutral: "var(--neutral)",
  baseline: "var(--baseline)",
  ink: "var(--ink)",
  soft: "var(--ink-soft)",
  line: "var(--line)",
  paper: "var(--paper)",
};

/** A scale's type, domain and some ticks; powers of ten are as many as there is room for, and have no others between. */
export function scaleOf({scale, edges}, ticks) {
  const [low, high] = [edges[0], edges.at(-1)];
  if (scale !== "log") return {type: "linear", domain: [low, high], ticks};
  const powers = Array.from({length: 40}, (_, power) => 10 ** (power - 20)).filter((value) => value >= low && value <= high);
  const few = powers.length < 3 ? powers.flatMap((value) => [value / 2, value, 2 * value, 5 * value]) : powers;
  const step = Math.ceil(few.length / Math.max(ticks, 2));
  const shown = few.filter((value, index) => value >= low && value <= high && index % step === 0);
  return {type: low > 0 ? "log" : "symlog", domain: [low, high], ticks: low > 0 ? shown : [0, ...shown]};
}
