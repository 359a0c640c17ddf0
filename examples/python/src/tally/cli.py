"""The command: reads a text, prints its words."""

import sys

from tally import tally


def main():
    for word, count in tally(sys.stdin.read()):
        print(count, word)
