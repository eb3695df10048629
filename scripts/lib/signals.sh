# shellcheck shell=bash
# Our caller may make us ignore signals (nohup: SIGHUP; a script that starts us
# with `&`: SIGINT and SIGQUIT). Everything that we start would ignore them as
# well, and no shell can undo that. env(1) of coreutils can, from 8.31 on:
#
#   env "${default_signals[@]}" -- COMMAND [ARG...]
#
# shellcheck disable=SC2034 # used by whoever sources this
default_signals=()
if [[ $(trap -p HUP INT QUIT) ]] && env --default-signal true 2>/dev/null; then
  default_signals=(--default-signal)
fi
