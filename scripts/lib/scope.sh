# shellcheck shell=bash
# Sourced. How a scope is asked for: systemd-run "${scope[@]}" -- COMMAND [ARG...]
#
# From systemd 262 on, systemd-run reads variables in the command, and puts its
# own values in their place. Before 254 it has no switch for that, and no need.
scope=(--scope --quiet --property=Delegate=yes)
if [[ $(systemd-run --help 2>/dev/null) == *--expand-environment* ]]; then
  scope+=(--expand-environment=no)
fi
