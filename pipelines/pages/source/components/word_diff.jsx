import {Note} from "./controls.jsx";
import {Block, visible} from "./text.jsx";

/** Two texts in one: what only the dropped one has, and what only the kept one has. `data` is a WordDiff. */
export function WordDiff({data}) {
  const {pieces} = data;
  const same = pieces.every(({side}) => side === "both");
  return (
    <div class="word-diff">
      <p class="note">
        {same ? "Word by word the same." : <>Only in the dropped one: <del>so</del>. Only in the kept one: <ins>so</ins>.</>}
      </p>
      <Block text="" label="the dropped and the kept document, word by word">
        {pieces.map(({text, side}, index) =>
          side === "both" ? visible(text) : side === "dropped" ? <del key={index}>{visible(text)}</del> : <ins key={index}>{visible(text)}</ins>
        )}
      </Block>
      <Note text={data.note} />
    </div>
  );
}
