// The server's answers. Addresses are relative to where our script lies, so that a proxy may put a path before them.
import {useCallback, useEffect, useState} from "preact/hooks";

const BASE = new URL("../api/", document.querySelector("script[src]").src);
const PATIENCE = 120_000; // milliseconds, for a question that reads a whole run

/** What went wrong, in the server's words: a code of docs/errors.md, a sentence, and what to do. */
export class Problem extends Error {
  constructor({code, message, hint}, status) {
    super(message);
    Object.assign(this, {code, hint, status});
  }
}

export const address = (path, params = {}) => {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value != null && value !== "")).toString();
  return `${path}${query ? `?${query}` : ""}`;
};

export const get = (path, signal) => ask(path, {signal});

export const post = (path, body, signal) =>
  ask(path, {method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json", "X-Curation": "1"}, signal});

async function ask(path, options) {
  let response;
  const patience = AbortSignal.timeout(PATIENCE);
  try {
    response = await fetch(new URL(path, BASE), {...options, signal: options.signal ? AbortSignal.any([options.signal, patience]) : patience});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new Problem({message: "the server took longer than two minutes", hint: "Ask for less."}, 0);
    throw new Problem({message: "the server does not answer", hint: "Is `curate ui` still running? Start it again, and this page goes on."}, 0);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw new Problem(answer?.error ?? {message: `the server answered ${response.status}`}, response.status);
}

let remembered = {}; // the last answer that was to be kept: {path, data}

/**
 * What stands at `path`: {data, error, loading, again}. The earlier answer stays until the next is there. Null asks
 * nothing. With `keep`, for what costs seconds and does not change, whoever comes back finds it without asking.
 */
export function useAnswer(path, keep = false) {
  const [state, setState] = useState(() => (remembered.path === path ? {data: remembered.data} : {}));
  const [times, setTimes] = useState(0);
  useEffect(() => {
    if (path == null) return setState({});
    if (keep && remembered.path === path && !times) return;
    const abort = new AbortController();
    setState(({data}) => ({data, loading: true}));
    get(path, abort.signal).then(
      (data) => {
        if (keep) remembered = {path, data};
        setState({data});
      },
      (error) => error.name === "AbortError" || setState({error})
    );
    return () => abort.abort();
  }, [path, times]);
  const again = useCallback(() => setTimes((value) => value + 1), []);
  return {...state, again};
}

/** Runs as they go on: {runs, connected, error}. `runs` is null until the first answer. */
export function useRuns() {
  const [state, setState] = useState({runs: null, connected: true});
  useEffect(() => {
    const source = new EventSource(new URL("events", BASE));
    source.onmessage = ({data}) => {
      const {runs, error} = JSON.parse(data);
      setState((before) => ({runs: runs ?? before.runs, connected: true, error}));
    };
    source.onopen = () => setState((before) => ({...before, connected: true}));
    source.onerror = () => setState((before) => ({...before, connected: false}));
    return () => source.close();
  }, []);
  return state;
}
