# shellcheck shell=bash
# A view of something that changes, redrawn in place. The script that sources
# this defines `frame COLUMNS ROWS`, which sets `picture` to what there is to
# see, and then calls `live_view`. `frame` can use `colour` and `once`. If it defines
# `glance`, that is called all the time between two pictures: it sees what is gone
# before the next one, and must start no program.
# shellcheck disable=SC2034 # used by whoever sources this

once='' interval=1 colour=1
[[ ! ${NO_COLOR:-} ]] || colour=''

# Takes one option that all live views have. Fails if the word is not one.
live_option() { # OPTION [VALUE]: sets taken, the number of words
  taken=1
  case $1 in
    --once) once=1 ;;
    --no-color | --no-colour) colour='' ;;
    --interval)
      [[ ${2-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || return 1
      interval=$2 taken=2 ;;
    *) return 1 ;;
  esac
}

live_options='  --once         one picture and no more: for a pipe or a test
  --interval S   seconds between two pictures (default: 1)
  --no-colour    without colour, as with NO_COLOR

Keys  q quit'

# The first of these that is set says what the terminal shows (locale(7)).
shows_utf8() {
  [[ ${LC_ALL:-${LC_CTYPE:-${LANG-}}} =~ [Uu][Tt][Ff]-?8 ]]
}

# Each character has one that stands in for it, so that columns stay columns.
compose_picture() { # sets picture
  local from to
  frame "$columns" "$rows"
  shows_utf8 || while read -r from to; do
    picture=${picture//$from/$to}
  done <<<$'█ #\n░ .\n▁ _\n▂ .\n▃ :\n▄ -\n▅ =\n▆ +\n▇ *\n· -\n→ >\n… ~'
}

size() { # sets columns and rows
  read -r rows columns < <(stty size 2>/dev/null </dev/tty || echo 24 80)
  ((columns)) || { rows=24 columns=80; }
}

# No flicker: nothing is erased before its replacement is there, and one write
# carries the whole picture. The terminal cuts off a line that is too long.
draw() {
  local lines
  compose_picture
  mapfile -t -n "$rows" lines <<<"$picture"
  printf -v picture '%s\e[K\r\n' "${lines[@]}"
  printf '\e[?2026h\e[H%s\e[J\e[?2026l' "${picture%$'\r\n'}"
}

# `read -t` can lose a key that arrives just as its time is up. So check whether
# there is one, and sleep by reading from where nothing ever comes.
wait_for_key() { # until INTERVAL is over, a key, or another size
  local key end tick=0.1 glance=:
  ! declare -F glance >/dev/null || { glance=glance tick=0.001; }
  end=$((${EPOCHREALTIME/[.,]/} + $(awk -v s="$interval" 'BEGIN { print int(s * 1000000) }')))
  while ((${EPOCHREALTIME/[.,]/} < end)) && [[ ! $resized ]]; do
    "$glance"
    if read -rt 0; then
      IFS= read -rsn1 key || exit 0 # no terminal any more
      [[ $key != q ]] || exit 0
    else
      read -rt "$tick" -u "$never" || true
    fi
  done
}

live_view() {
  size
  [[ -t 0 && -t 1 ]] || once=1
  if [[ $once ]]; then
    [[ -t 1 ]] || colour=''
    compose_picture
    printf '%s\n' "$picture"
    return
  fi
  local resized='' never settings
  settings=$(stty -g)
  trap 'resized=1' WINCH
  # shellcheck disable=SC2064 # the settings of now
  trap "printf '\e[?7h\e[?25h\e[?1049l'; stty $settings" EXIT
  trap 'exit 130' INT TERM HUP
  stty -icanon -echo
  exec {never}<> <(:)
  printf '\e[?1049h\e[?25l\e[?7l'
  while :; do
    [[ ! $resized ]] || { size && resized=''; }
    draw
    wait_for_key
  done
}
