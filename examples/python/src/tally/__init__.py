"""How often each word stands in a text."""

import re
from collections import Counter


def tally(text):
    """Return (word, count) pairs, the most frequent first, then by the alphabet."""
    counts = Counter(re.findall(r"\w+", text.casefold()))
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
