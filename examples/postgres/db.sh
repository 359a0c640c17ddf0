#!/bin/sh
# PostgreSQL for the tests: a new cluster in a folder of its own, reached by a socket there, so that it is in nobody's way.
#   db.sh start        runs it in the foreground, and removes the folder at the end
#   db.sh ready        exits with 0 once it can be used
#   db.sh version      prints which one it is
#   db.sh COMMAND ...  runs a client (psql, createdb, pg_dump) against it
set -eu
link=build/db      # leads to the folder
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=${bin:-/nonexistent}:$PATH

case $1 in
start)
  folder=$(mktemp -d)
  # It refuses to run as root.
  as=
  if [ "$(id -u)" = 0 ]; then
    chown postgres: "$folder"
    as="setpriv --reuid postgres --regid postgres --init-groups"
  fi
  cd "$folder"
  $as initdb --pgdata "$folder/data" --username postgres --auth trust --locale C --encoding UTF8 --no-sync
  cd "$OLDPWD"
  mkdir -p build
  ln -sfn "$folder" "$link"
  # Nothing listens on the network, and nothing has to survive a power cut.
  $as postgres -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off &
  server=$!
  trap 'kill -INT $server' INT TERM
  wait $server || true
  trap - INT TERM
  wait $server || true
  rm -rf "$folder" "$link"
  ;;
ready) exec pg_isready --quiet --host "$(readlink "$link")" ;;
version) exec postgres --version ;;
*)
  PGHOST=$(readlink "$link") PGUSER=postgres
  export PGHOST PGUSER
  exec "$@"
  ;;
esac
