"""Prints a signature of a file, by the key in SIGNING_KEY: sign.py FILE"""

import hmac
import os
import sys
from pathlib import Path

print(hmac.new(os.environb[b"SIGNING_KEY"], Path(sys.argv[1]).read_bytes(), "sha256").hexdigest())
