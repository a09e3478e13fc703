import {useEffect, useRef, useState} from "preact/hooks";

const SHORTCUTS = [
  ["?", "these shortcuts"],
  ["/", "to the first filter or the query"],
  ["1 … 6", "the views of a run, from left to right"],
  ["j, k", "next and previous document of a list"],
  ["g, b, u", "while labelling: good, bad, unsure"],
  ["z", "while labelling: undo"],
  ["← →", "on a slider: one step; Page up and Page down: ten"],
  ["Ctrl + Enter", "run the query"],
];
const OFF = "curation.no-shortcuts";

/** Single keys that act wherever one isn't typing: {key: action}. */
export function useKeys(actions) {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented || typing(event.target) || storage(OFF)) return;
      const action = latest.current[event.key];
      if (!action || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      action(event);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

/** The list of shortcuts, and their switch: who dictates or has unsteady hands may want none. */
export function Help() {
  const dialog = useRef(null);
  const [off, setOff] = useState(() => !!storage(OFF));
  useKeys({"?": () => dialog.current.showModal()});
  const change = (event) => {
    setOff(!event.target.checked);
    storage(OFF, event.target.checked ? "" : "1");
  };
  return (
    <dialog id="help" class="help" ref={dialog} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard shortcuts</h2>
      <dl>
        {SHORTCUTS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={!off} onChange={change} /> Single keys are shortcuts
      </label>
      <form method="dialog">
        <button>Close</button>
      </form>
    </dialog>
  );
}

const typing = (target) => target.isContentEditable || target.matches?.("textarea, select, input:not([type=range], [type=radio], [type=checkbox])");

/** Kept by the browser; nothing is where it keeps nothing. */
function storage(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    // a browser that stores nothing has the shortcuts on
  }
  return null;
}
