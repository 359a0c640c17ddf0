#!/bin/sh
# Types the commands of README.md, one after the other, in a new folder; stops where one ends with another exit code than it says there.
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$(mktemp -d)" && ln -s "$here" examples && echo "in $PWD:" || exit 1
typed=0
while IFS= read -r line; do
  command=${line#"    $ "}
  [ "$command" != "$line" ] || continue
  case $command in *"# exit "*) expected=${command##*"# exit "} ;; *) expected=0 ;; esac
  printf '\n$ %s\n' "$command"
  eval "$command" </dev/null
  code=$?
  typed=$((typed + 1))
  [ "$code" = "$expected" ] || { echo "exit code $code, and not $expected"; [ ! -x balancer ] || ./balancer down; exit 1; }
done < "$here/haproxy/README.md"
[ "$typed" -gt 0 ] && echo && echo "typed $typed commands"
