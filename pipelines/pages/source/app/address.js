// Where one is stands after the `#` of the address, with all that a view shows: /runs/RUN/documents?outcome=dropped.
// Whoever opens the address sees the same. It is never sent to a server, and holds behind any proxy.
import {useEffect, useState} from "preact/hooks";

/** {path: ["runs", "41c2…", "documents"], params: {outcome: "dropped"}} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {path: path.split("/").filter(Boolean).map(decoded), params: Object.fromEntries(new URLSearchParams(query))};
}

/** href("runs", "41c2", {n: 5}) → "#/runs/41c2?n=5"; parameters that are null or empty are left out. */
export function href(...path) {
  const params = typeof path.at(-1) === "object" ? path.pop() : {};
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value != null && value !== "")).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

export function go(...path) {
  location.hash = href(...path);
}

/** The same view with other parameters: no new entry in the history, so that one drag of a slider is not a hundred. */
export function replace(...path) {
  const address = href(...path);
  if (address !== location.hash) {
    history.replaceState(null, "", address);
    dispatchEvent(new Event("replaced"));
  }
}

export function useAddress() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = () => setHash(location.hash);
    for (const event of ["hashchange", "replaced"]) addEventListener(event, look);
    return () => ["hashchange", "replaced"].forEach((event) => removeEventListener(event, look));
  }, []);
  return parse(hash);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
