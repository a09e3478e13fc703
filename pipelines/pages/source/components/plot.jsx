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
    const drawing = Plot.plot({className: "plot", style: {fontFamily: "inherit", fontSize: "12px"}, ...options(width), width});
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

/** A scale of values whose edges are spaced evenly or by powers; zero has no logarithm. */
export const scaleOf = ({scale, edges}) => (scale === "log" ? (edges[0] > 0 ? "log" : "symlog") : "linear");
