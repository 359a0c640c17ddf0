# Whether the shop at HOST:PORT says hello: a stand-in for a look at errors and times.
import sys
import urllib.request

said = urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=5).read().decode().strip()
if not said.startswith("Hello"):
    sys.exit(f"it says {said}")
