"""Packs folders; the same files give the same bytes: pack.py ARCHIVE FOLDER…"""

import sys
from pathlib import Path
from zipfile import ZipFile, ZipInfo

archive, *folders = map(Path, sys.argv[1:])
files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".py", ".sh") and path.name != "test.py"]
with ZipFile(archive, "w") as packed:
    for path in files:
        packed.writestr(ZipInfo(path.name), path.read_bytes())
