#!/bin/sh
# Whether the page in the folder $1 says hello: a stand-in for acceptance tests against what is deployed.
grep -q Hello "$1/build/index.html"
