"""Prints the digest of each archive, and which build it is: manifest.py ARCHIVE…"""

import hashlib
import os
import sys
from pathlib import Path

print("build", os.environ.get("BUILD_NUMBER", "local"))
for path in map(Path, sys.argv[1:]):
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
