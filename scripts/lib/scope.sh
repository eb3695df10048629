# shellcheck shell=bash
# Sourced. How to ask for a scope: systemd-run "${scope[@]}" -- COMMAND [ARG...]
#
# From systemd 262 on, systemd-run expands variables in the command, with its own
# values. Before 254 it has no switch to stop that, and needs none.
scope=(--scope --quiet --property=Delegate=yes)
if [[ $(systemd-run --help 2>/dev/null) == *--expand-environment* ]]; then
  scope+=(--expand-environment=no)
fi
