#!/bin/sh
# Types the commands of README.md, one after the other, in a new folder; stops where one ends with another exit code than it says there.
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d) || exit 1
ends() { # whatever ends it, nothing is left
  trap '' INT TERM PIPE
  [ ! -e "$folder/try/run/haproxy.pid" ] || "$folder/try/haproxy/balancer" down
  cd / && chmod -R u+w "$folder" && rm -rf "$folder"
}
trap ends EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 141' PIPE
cd "$folder" && ln -s "$here" examples && echo "in $PWD, which is removed at the end:" || exit 1
typed=0
while IFS= read -r line; do
  command=${line#"    $ "}
  [ "$command" != "$line" ] || continue
  case $command in *"# exit "*) expected=${command##*"# exit "} ;; *) expected=0 ;; esac
  printf '\n$ %s\n' "$command"
  eval "$command" </dev/null
  code=$?
  typed=$((typed + 1))
  [ "$code" = "$expected" ] || { echo "exit code $code, and not $expected"; exit 1; }
done < "$here/haproxy/README.md"
[ "$typed" -gt 0 ] && echo && echo "typed $typed commands"
