# shellcheck shell=bash
# For what may take longer than two seconds: one line says what is done, and on a
# terminal the seconds count below it. So nobody takes it for dead.
#
#   begin_moving 'lab: makes its image'
#   make_image
#   end_moving
#
# What is printed meanwhile takes the place of the seconds, which go on below it.

moving=''

begin_moving() { # WHAT
  echo "$1 ..." >&2
  [[ -t 2 ]] || return 0
  count_seconds $SECONDS &
  moving=$!
}

# Ends with us, however we end.
count_seconds() { # SINCE
  while sleep 1 && [[ -e /proc/$$ ]]; do
    printf '%4d s   \r' $((SECONDS - $1)) >&2
  done
}

end_moving() {
  [[ $moving ]] || return 0
  { kill "$moving" && wait "$moving"; } 2>/dev/null || true
  printf '         \r' >&2
  moving=''
}
