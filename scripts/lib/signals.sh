# shellcheck shell=bash
# What our caller has us ignore (nohup: SIGHUP; a script, for what it starts by
# `&`: SIGINT and SIGQUIT), all that we start would ignore as well, and no shell
# can undo that. env(1) of coreutils can, from 8.31 on:
#
#   env "${default_signals[@]}" -- COMMAND [ARG...]
#
# shellcheck disable=SC2034 # used by who sources this
default_signals=()
if [[ $(trap -p HUP INT QUIT) ]] && env --default-signal true 2>/dev/null; then
  default_signals=(--default-signal)
fi
