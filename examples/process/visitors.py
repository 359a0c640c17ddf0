# Sends so many visitors to HOST:PORT, and counts what they are told.
import collections
import sys
import urllib.request

told = collections.Counter()
for _ in range(int(sys.argv[2])):
    told[urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=15).read().decode().strip()] += 1
for greeting, count in sorted(told.items()):
    print(f"{count} of {told.total()} visitors were told: {greeting}")
