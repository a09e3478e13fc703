import {useEffect, useState} from "preact/hooks";

/** The table of contents; the section that is being read is marked. sections: [{id, title}]. */
export function Contents({sections}) {
  const current = useCurrent(sections);
  const wide = useMedia("(min-width: 70rem)");
  return (
    <nav class="contents" aria-label="Contents">
      <details open={wide}>
        <summary>Contents</summary>
        <ol>
          {sections.map(({id, title}) => (
            <li key={id}>
              <a href={`#${id}`} aria-current={id === current ? "true" : undefined}>
                {title}
              </a>
            </li>
          ))}
        </ol>
      </details>
    </nav>
  );
}

function useCurrent(sections) {
  const [current, setCurrent] = useState(sections[0]?.id);
  useEffect(() => {
    const look = () => {
      const passed = sections.filter(({id}) => document.getElementById(id)?.getBoundingClientRect().top < innerHeight / 3);
      setCurrent((passed.at(-1) ?? sections[0])?.id);
    };
    look();
    addEventListener("scroll", look, {passive: true});
    return () => removeEventListener("scroll", look);
  }, [sections.length]);
  return current;
}

function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const look = () => setMatches(list.matches);
    list.addEventListener("change", look);
    return () => list.removeEventListener("change", look);
  }, [query]);
  return matches;
}
