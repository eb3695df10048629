#!/usr/bin/env bash
# The talk: builds the slides, and shows them.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/present.sh [--live | --port N | --build | --pdf FILE]

Installs what the slides need, builds them, and serves them, on this machine only,
until Ctrl-C. Works offline once the first run has fetched the packages. The built
deck is slides/dist: open its index.html in a browser, or copy it anywhere.

  --live      with a terminal beside each demo's slide, opened by F9 or a button: the
              demo plays there, in the playground. Open the link that it prints: only
              that browser gets in, and the link is good for once
  --port N    serve on this port; 0 picks a free one (default: 4173, or the next
              free one)
  --build     only build the deck
  --pdf FILE  print the deck to FILE, one slide per page, without serving it

The last slide shows the address to clone from, and a code for phones: WORKSHOP_URL
if that is set, else where the git remote "origin" is. Without one it shows neither.

In the browser, Space, the right arrow and a clicker go along the talk, and the down
arrow goes into details. S opens the speaker view, T switches between light and dark,
F is full screen, O shows all slides, ? all keys.

Needs node (18 or newer) and npm; --live needs Rust; --pdf needs chromium, or the browser that CHROMIUM
names. ./scripts/setup.sh --slides installs what is missing.
USAGE
}

fail() { # LINE...
  end_moving
  printf 'present: %s\n' "$@" >&2
  exit 1
}

need() { # COMMAND
  command -v "$1" >/dev/null || fail "$1 is missing. Try: ./scripts/setup.sh --slides"
}

# Only if the lockfile is newer than what was installed from it.
install() {
  [[ ! package-lock.json -nt node_modules/.package-lock.json ]] && return
  begin_moving 'installing what the slides need'
  npm ci --no-fund --no-audit --no-progress --loglevel=error || fail 'npm could not install the packages: see above. It needs the internet once.'
  end_moving
}

# The built deck is up to date: nothing that goes into it is newer, and it says
# where the workshop is cloned from.
is_built() {
  [[ -s dist/index.html ]] && grep -qF "data-address=\"$(node build/address.js)\"" dist/index.html &&
    [[ ! $(find . ../steps ../scripts \( -path ./node_modules -o -path ./dist -o -path ./tests -o -path ./live \) -prune \
    -o -newer dist/index.html -print -quit) ]]
}

build() {
  ! is_built || return 0
  begin_moving 'building'
  npm run --silent build -- --logLevel warn >&2 || fail 'The deck was not built. See above.'
  end_moving
}

# A server of our own: no page but the deck may type into what it runs. It comes
# after what the demos need. Like them, it may have been built elsewhere.
serve_live() {
  local program=${WORKSHOP_BIN:-}/live-terminal
  if [[ ! -x $program ]]; then
    program=${CARGO_TARGET_DIR:-../target}/debug/live-terminal
    command -v cargo >/dev/null || fail '--live needs Rust, as the demos do'
    ../scripts/demo.sh --prepare >&2
    begin_moving 'building the terminal'
    cargo build --quiet --package live-terminal --features server --locked || fail 'cargo did not build the terminal. See above.'
    end_moving
  fi
  exec "$program" dist ../scripts
}

print_pdf() { # FILE
  begin_moving 'printing'
  node build/print.js "$1" || fail 'chromium did not print the deck. See above.'
  end_moving
  echo "printed: $1"
}

main() {
  local act=serve port='' pdf=''
  while [[ $# -gt 0 ]]; do
    case $1 in
      --live) act=live ;;
      --build) act=build ;;
      --pdf) act=print && pdf=$(realpath -m -- "${2:?--pdf needs a FILE}") && shift ;;
      --port) port=${2:?--port needs a number} && shift ;;
      -h | --help) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
    shift
  done
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../slides"
  need node
  need npm
  (($(node -p 'process.versions.node.split(".")[0]') >= 18)) || fail "node is $(node -v), but the slides need 18 or newer."
  install
  build
  case $act in
    serve) exec npm run --silent serve -- ${port:+--port "$port"} ;;
    live) serve_live ;;
    print) print_pdf "$pdf" ;;
  esac
}

# shellcheck source-path=SCRIPTDIR source=lib/moving.sh
source "${BASH_SOURCE[0]%/*}/lib/moving.sh"
main "$@"
