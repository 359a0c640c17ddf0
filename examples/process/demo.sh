#!/bin/sh
# From an edit to production and back, in a folder of its own. SHOP_PORT is where clients connect, if not at 8080.
set -eu
example=$(cd "$(dirname "$0")" && pwd)
place=127.0.0.1:${SHOP_PORT:-8080}
folder=$(mktemp -d)
ends() { # whatever ends it, nothing is left
  trap '' INT TERM PIPE
  set +e
  [ ! -e "$folder/shop/.git" ] || (cd "$folder/shop" && shipway serve production --stop)
  cd / && chmod -R u+w "$folder" && rm -rf "$folder"
}
trap ends EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 141' PIPE

says() { printf '\n# %s\n' "$*"; }
does() { printf '$ %s\n' "$*"; "$@"; }
greets() { # releases another greeting
  echo "$1" > greeting.txt
  git commit -qam "Say $1"
  does shipway -q release
}

cp -r "$example" "$folder/shop" && cd "$folder/shop"
sed -i.before "s/127.0.0.1:8080/$place/" pipeline.toml && rm pipeline.toml.before
printf '%s\n' .shipway/ __pycache__/ > .gitignore
git init -q && git config user.name Me && git config user.email me@example.org
git add . && git commit -qm "The first shop"

says "The first release of all: the supervisor is started, and then serves it."
does shipway -q release
does shipway -q promote production
does python3 visitors.py "$place" 20

says "Another one takes over share by share; here it is seen at its first."
greets "Hello again"
does shipway -q promote production --step || [ $? = 75 ]
does python3 visitors.py "$place" 20
does shipway serve production --status
does shipway -q promote production
does python3 visitors.py "$place" 20

says "A word takes it back: what was kept warm serves at once."
does shipway -q rollback production --reason "the first was shorter"
does python3 visitors.py "$place" 20
does shipway -q resume production --reason "a better one comes"

says "One that says something else gets a tenth of the visitors, is looked at, and is taken back by itself: exit code 4."
greets "Goodbye"
does shipway -q promote production || [ $? = 4 ]
does python3 visitors.py "$place" 20
does shipway status

says "The end."
