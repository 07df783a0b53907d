"""Folders of pictures packed into tar archives, as WebDataset packs them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from segue.data.decoding import EXTENSIONS


def write_tar(path: Path, files: Mapping[str, bytes], *, kind: int = tarfile.GNU_FORMAT) -> Path:
    """An archive of files by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pack(folder: Path, out: Path, *, label: str = ".label", shards: int = 2) -> Path:
    """A folder with ``images`` and perhaps ``labels`` as shards, beside a copy of its class list."""
    files: dict[str, bytes] = {}
    for kind, end in (("images", ""), ("labels", label)):
        for path in sorted((folder / kind).rglob("*")):
            if path.suffix in EXTENSIONS:
                name = path.relative_to(folder / kind).with_suffix("")
                files[f"{name}{end}{path.suffix}"] = path.read_bytes()
    keys = sorted({name.partition(".")[0] for name in files})
    for shard in range(shards):
        own = set(keys[shard::shards])  # so that no shard holds neighbours
        some = {name: content for name, content in files.items() if name.partition(".")[0] in own}
        write_tar(out / f"shard-{shard:06}.tar", some | {"notes.json": json.dumps(keys).encode()})
    if (folder / "classes.json").exists():
        (out / "classes.json").write_text((folder / "classes.json").read_text())
    return out
