#!/bin/sh -eu
# Prints the page of one thing: web.sh NAME PRICE
printf '<h1>%s</h1>\n<p>only %s</p>\n' "$1" "$2"
