"""Where services keep what they know: in memory, or in a file."""

import json
from pathlib import Path


class Store:
    def __init__(self, values, path=None):
        self.path = path and Path(path)
        self.values = json.loads(self.path.read_text()) if self.path and self.path.exists() else dict(values)

    def get(self, key):
        return self.values.get(key)

    def put(self, key, value):
        self.values[key] = value
        if self.path:
            self.path.write_text(json.dumps(self.values))
