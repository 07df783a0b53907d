"""The pictures that a verb is given."""

from pathlib import Path


def find_pictures(pictures: Path, out: Path) -> dict[str, Path]:
    """Picture files by name; what the verb itself wrote below the folder is no picture.

    Args:
        pictures: A folder, or one picture.
        out: Where the verb writes.

    Raises:
        FileNotFoundError: If there is no such folder or picture.
        ValueError: If there is no picture, or the verb would write between them.
    """
    from segue.data.folder_files import find_files

    if pictures.is_file():
        return {pictures.stem: pictures}
    if not pictures.is_dir():
        raise FileNotFoundError(f"{pictures}: no such folder or picture")
    if out.resolve() == pictures.resolve():
        raise ValueError(f"--out {out}: choose another folder than that of the pictures")
    own = out.resolve()
    found = {name: path for name, path in find_files(pictures).items() if own not in path.resolve().parents}
    if not found:
        raise ValueError(f"{pictures}: no picture here; jpg, png, bmp, tif and webp files are looked for")
    return found
