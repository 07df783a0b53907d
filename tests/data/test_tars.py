"""Tar archives give the same pictures as files; what cannot be read from its place is refused in one line."""

import bz2
import gzip
import lzma
import os
import pickle
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.data.conftest import ABC
from tests.shards import pack, write_tar

from segue.classes import class_list
from segue.data import picture_files, tar_index
from segue.data.dataset import Dataset
from segue.data.decoding import EXTENSIONS, decode
from segue.data.folder import ImageFolder
from segue.data.name_patterns import NamePatterns
from segue.data.tar_index import index_all, read_index
from segue.data.tar_member import Member, Shard
from segue.data.tars import file_of, find_tars
from segue.data.whole_pictures import open_class_folders, open_image_list
from segue.types import IGNORE

AB = class_list(["a", "b"])
GUIDE = Path(__file__).resolve().parents[2] / "docs/own_data.md"
FOUR = ["day/one", "day/two", "night/three", "four"]

part = st.text(st.characters(codec="utf-8", exclude_characters="/\0\\"), min_size=1, max_size=70)
name = st.lists(part, min_size=1, max_size=5).map("/".join)
end = st.sampled_from([".jpg", ".label.png", ".json", "", ".PNG", ".cls"])


def opened(root: Path, **more: object) -> ImageFolder:
    return ImageFolder(root, classes=AB, labelled=True, **more)  # type: ignore[arg-type]


def said(root: Path, **more: object) -> str:
    """What is said of archives that are refused, in one line."""
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        dataset = opened(root, **more)
        dataset.check()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def equal(one: Dataset, other: Dataset) -> bool:
    names = [one.name(place) for place in range(len(one))]
    return names == [other.name(place) for place in range(len(other))] and all(
        torch.equal(one.image(place), other.image(place))
        and torch.equal(one.label(place), other.label(place))
        for place in range(len(one))
    )


@given(
    files=st.dictionaries(st.tuples(name, end).map("".join), st.binary(max_size=1500), max_size=6),
    kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_the_index_is_what_tarfile_reads(files: dict[str, bytes], kind: int, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("tar") / "some.tar"
    try:
        write_tar(path, files, kind=kind)
    except ValueError:  # a name too long for the oldest format
        return
    wanted: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            parts = [one for one in member.name.split("/") if one != "."]
            known = os.path.splitext(parts[-1] if parts else "")[1].lower() in {*EXTENSIONS, ".cls"}
            if known and ".." in parts:
                with pytest.raises(ValueError, match="leads out"):
                    read_index(Shard.at(str(path)))
                return
            if known and not any(one.startswith(".") for one in parts):
                content = archive.extractfile(member)
                assert content is not None
                wanted["/".join(parts)] = content.read()
    index = read_index(Shard.at(str(path)))
    members = [index.member(row) for row in range(len(index))]
    assert {member.inner_name: member.read_bytes() for member in members} == wanted


@pytest.mark.parametrize("root", ["shards", "shards/shard-*.tar", "shards/shard-{000000..000001}.tar"])
def test_archives_give_what_files_give(root: str, write_folder: Callable[..., Path], tmp_path: Path) -> None:
    files = write_folder(FOUR)
    pack(files, tmp_path / "shards")
    dataset, same = opened(tmp_path / root), opened(files)
    dataset.check()
    assert equal(dataset, same) and len(dataset) == 4
    assert dataset.size(0) == (6, 8) and dataset.reduced(0, (2, 2))[1] == (6, 8)
    assert equal(pickle.loads(pickle.dumps(dataset)), same)
    assert not list(tmp_path.rglob("*.part")) and len(list((tmp_path / "shards").iterdir())) == 3
    night = NamePatterns(include=("night/*", "four"))
    assert equal(opened(tmp_path / root, patterns=night), opened(files, patterns=night))


@pytest.mark.parametrize(
    ("label", "suffix"), [(".seg", ""), (".mask", ""), ("_id", "_id"), ("", ".png"), (".gt", ".gt.png")]
)
def test_labels_of_other_names(
    label: str, suffix: str, write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    files = write_folder(FOUR)
    dataset = opened(pack(files, tmp_path / "shards", label=label), label_suffix=suffix)
    assert equal(dataset, opened(files))


def test_one_archive_of_a_split_beside_a_class_list(
    write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    files = write_folder(FOUR)
    shards = pack(files, tmp_path / "shards/val", shards=1)
    (shards / "classes.json").rename(tmp_path / "shards/classes.json")
    assert equal(opened(tmp_path / "shards", split="val"), opened(files))
    assert equal(opened(shards / "shard-000000.tar", label_classes=["a", "b"]), opened(files))


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
def test_the_command_of_the_guide_packs_a_folder(write_folder: Callable[..., Path], tmp_path: Path) -> None:
    if b"GNU" not in subprocess.run(["tar", "--version"], capture_output=True, check=True).stdout:
        pytest.skip("not GNU tar")
    files, lines = write_folder(FOUR), GUIDE.read_text(encoding="utf-8").splitlines()
    (command,) = (line.strip() for line in lines if line.strip().startswith("tar "))
    subprocess.run(command.replace("SOURCE", str(files)), shell=True, check=True, cwd=tmp_path)
    assert equal(opened(tmp_path / "shards.tar", label_classes=["a", "b"]), opened(files))


def test_a_folder_that_holds_pictures_too_is_a_folder(
    write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    files = write_folder(FOUR)
    write_tar(files / "download.tar", {})
    assert len(opened(files)) == 4
    write_tar(files / "images/download.tar", {})
    assert len(ImageFolder(files / "images/day", classes=AB, labelled=False)) == 2
    assert find_tars(files) is None and find_tars(files / "images") is None


def refused(write_folder: Callable[..., Path], tmp_path: Path) -> Path:
    return pack(write_folder(FOUR), tmp_path / "shards", shards=1) / "shard-000000.tar"


@pytest.mark.parametrize(
    ("unpack", "compress"), [("gunzip", gzip.compress), ("bunzip2", bz2.compress), ("unxz", lzma.compress)]
)
def test_a_compressed_archive(unpack: str, compress, write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    content = compress(tar.read_bytes())
    tar.write_bytes(content)
    assert f"unpack it with `{unpack}`" in said(tar.parent)
    tar.rename(tar.with_suffix(".tar.gz"))
    assert f"{tar}.gz: compressed" in said(tar.parent)


def test_an_archive_cut_off_anywhere(write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    content = tar.read_bytes()
    with tarfile.open(tar) as archive:
        end = archive.getmembers()[-1].offset_data + tarfile.BLOCKSIZE
    for length in (0, 100, 700, tarfile.BLOCKSIZE * 2, end // 2, end - 1, end):
        tar.write_bytes(content[:length])
        assert f"{tar}: not readable as a tar archive" in said(tar), length
    tar.write_bytes(content[:end] + bytes(512))  # one empty block is an end
    assert len(opened(tar)) == 4


def test_what_is_no_archive_or_more_than_one(write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    content = tar.read_bytes()
    with tarfile.open(tar) as archive:
        second = archive.getmembers()[1].offset
    for wrong in (
        b"\xff\xd8\xff" + content,
        content + content,
        content[:second] + b"x" * 512 + content[second + 512 :],
    ):
        tar.write_bytes(wrong)
        assert f"{tar}: not readable as a tar archive" in said(tar)
    tar.write_bytes(content[:124] + b"\xff" * 12 + content[136:])  # a size below zero, with a wrong sum
    assert "not readable" in said(tar)


def test_a_size_below_zero(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x.jpg")
    member.size = -2048
    (tmp_path / "x.tar").write_bytes(bytes(1024) + member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match=r"x\.tar: "):
        read_index(Shard.at(str(tmp_path / "x.tar")))
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match=r"x\.tar: not readable"):
        read_index(Shard.at(str(tmp_path / "x.tar")))


@given(data=st.data())
def test_whatever_a_header_says_is_taken_or_refused_in_one_line(data, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    files = {"a.jpg": b"x" * 600, "n" * 120 + ".label.png": b"y", "ü" * 60 + ".png": b""}
    write_tar(path, files, kind=data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])))
    content = bytearray(path.read_bytes())
    block = data.draw(st.integers(0, len(content.rstrip(b"\0")) // 512 - 1)) * 512
    for place, value in data.draw(
        st.dictionaries(st.integers(0, 511), st.integers(0, 255), min_size=1)
    ).items():
        content[block + place] = value
    header = content[block : block + 512]
    header[148:156] = b" " * 8
    content[block + 148 : block + 156] = b"%06o\0 " % sum(header)  # as if it were meant
    path.write_bytes(content)
    try:
        index = read_index(Shard.at(str(path)))
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert all(len(index.member(row).read_bytes()) == index.lengths[row] for row in range(len(index)))


@pytest.mark.parametrize("inner", ["../x.jpg", "/tmp/x.jpg", "a/../x.jpg", "a\\x.jpg", "a//x.jpg"])
def test_names_that_lead_elsewhere(inner: str, tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "s.tar", {inner: b"."})
    message = said(tar)
    assert str(tar) in message and repr(inner) in message and "pack it again" in message


def test_links_sparse_files_and_folders(tmp_path: Path) -> None:
    for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "s.tar", "w") as archive:
            member = tarfile.TarInfo("day/x.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        assert "s.tar: day/x.jpg is a link or no file; pack it again as a plain file" in said(
            tmp_path / "s.tar"
        )
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        member = tarfile.TarInfo("x.jpg")
        member.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(member)
    assert "x.jpg is stored with holes (sparse)" in said(tmp_path / "s.tar")
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        member = tarfile.TarInfo("x.jpg")
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9", "GNU.sparse.name": "y.jpg"}
        archive.addfile(member)
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    assert "y.jpg is stored with holes (sparse)" in said(tmp_path / "s.tar")


def test_a_missing_label_and_a_name_that_comes_twice(write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    one = (write_folder(["x"]) / "images/x.jpg").read_bytes()
    extra = write_tar(tar.with_name("extra.tar"), {"new.jpg": one})
    assert f"{extra}/new.jpg: no label {tar.parent}/new.label.png" in (message := said(tar.parent))
    assert "1 of 5 images have none: add the labels" in message
    write_tar(extra, {"day/two.png": one})
    message = said(tar.parent)
    assert (
        f"{tar}: day/two.jpg has the name of day/two.png in extra.tar" in message
        and "label_suffix" in message
    )
    write_tar(extra, {"day/two.seg.png": one})
    assert "labels are called KEY.label.png or KEY.seg.png; say which" in said(tar.parent)
    extra.unlink()
    assert "no label KEY_x.png in these archives" in said(tar.parent, label_suffix="_x")
    assert "archives have no folder photos" in said(tar.parent, images=Path("photos"))
    assert "shard-9.tar: no such archive (of 2 that" in said(tar.parent / "shard-{00000,}0.tar").replace(
        "shard-0.tar", "shard-9.tar"
    )
    assert "no picture in these archives" in said(
        write_tar(tmp_path / "none.tar", {"a.b.jpg": one, ".c.jpg": one})
    )


def test_an_archive_that_changes_is_noticed(write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    dataset = opened(tar.parent)
    before = dataset.fingerprint()
    content = bytearray(tar.read_bytes())
    os.utime(tar, ns=(1, 1))
    for look in (dataset.image, dataset.label):
        with pytest.raises(
            ValueError, match=r"shard-000000\.tar: changed since it was looked into; start again"
        ):
            look(0)
    assert dataset.fingerprint() != before
    tar.write_bytes(content[:-512])
    with pytest.raises(ValueError, match="changed since"):
        dataset.check()
    tar.unlink()
    with pytest.raises(OSError, match="shard-000000"):
        dataset.image(0)


def test_a_member_that_is_no_picture(write_folder, tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "s.tar", {"day/x.jpg": b"nothing", "day/x.label.png": b""})
    assert f"{tar}/day/x.jpg: not readable as a picture (cannot identify image file file)" in said(tar)
    shard = Shard.at(str(tar))
    with pytest.raises(ValueError, match=r"x\.jpg: the archive ends within it"):
        decode(Member.of(shard, "day/x.jpg", shard.size - 5, 10), lambda picture: picture)


def test_large_archives_are_looked_into_once(
    write_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noting(shard: Shard) -> tar_index.Index:
        read.append(shard.path)
        return read_index(shard)

    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tar_index, "read_index", noting)
    shards = pack(write_folder(FOUR), tmp_path / "shards")
    paths = sorted(map(str, shards.glob("*.tar")))
    index_all(paths)
    assert sorted(read) == paths and not (tmp_path / "cache").exists()  # so few are not remembered
    monkeypatch.setattr(tar_index, "REMEMBERED", 8)
    first, again = index_all(paths), index_all(paths)
    assert len(read) == 4
    for one, other in zip(first, again, strict=True):
        assert list(one.names) == list(other.names) and one.shard == other.shard
        assert (one.offsets == other.offsets).all() and (one.lengths == other.lengths).all()
    os.utime(paths[1], ns=(1, 1))
    index_all(paths)
    assert sorted(read[4:]) == paths[1:]
    for kept in (tmp_path / "cache").rglob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:-30])
    index_all(paths)
    assert len(read) == 7  # damaged notes only mean to look again


def test_a_check_is_remembered_until_an_archive_changes(
    write_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    whole = picture_files.require_whole
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(picture_files, "REMEMBERED", 4)
    monkeypatch.setattr(picture_files, "require_whole", lambda path: (looked.append(path), whole(path))[1])
    shards = pack(write_folder(FOUR), tmp_path / "shards")
    for _ in range(2):
        opened(shards).check()
        assert len(looked) == 8
    os.utime(shards / "shard-000001.tar", ns=(1, 1))
    opened(shards).check()
    assert len(looked) == 16


def test_a_path_written_down_finds_its_member_again(write_folder, tmp_path: Path) -> None:
    tar = refused(write_folder, tmp_path)
    member = file_of(Path(f"{tar}/day/one.jpg"))
    assert isinstance(member, Member) and member.read_bytes().startswith(b"\xff\xd8")
    assert member.is_file() and member.stat().st_size == member.length == len(member.read_bytes())
    assert file_of(tmp_path / "elsewhere.jpg") == tmp_path / "elsewhere.jpg"
    assert not isinstance(file_of(Path(f"{tar}/nothing.jpg")), Member)


def test_pictures_of_one_class_each(write_folder, tmp_path: Path) -> None:
    names = ["a/0", "b/1", "c/2"]
    files = write_folder(names, labels=None)
    pictures = {f"{name}.jpg": (files / f"images/{name}.jpg").read_bytes() for name in names}
    folders = write_tar(tmp_path / "folders.tar", pictures)
    byname = open_class_folders(folders, classes=ABC, labelled=True)
    assert [byname.label(place).item() for place in range(3)] == [0, 1, 2]
    numbers = {f"{name}.cls": str(2 - place).encode() for place, name in enumerate(names)}
    listed = write_tar(tmp_path / "listed.tar", pictures | numbers)
    dataset = open_image_list(listed, classes=ABC, labelled=True)
    assert [dataset.label(place).item() for place in range(3)] == [2, 1, 0]
    assert torch.equal(dataset.image(1), byname.image(1))
    assert open_image_list(listed, classes=ABC, labelled=False).ids is None
    write_tar(listed, pictures | numbers | {"b/1.cls": b"3"})
    with pytest.raises(
        ValueError, match=r"listed\.tar/b/1\.cls: '3' is no class number; the 3 training classes"
    ):
        open_image_list(listed, classes=ABC, labelled=True)
    with pytest.raises(FileNotFoundError, match=r"folders\.tar/a/0\.jpg: no class file a/0\.cls"):
        open_image_list(folders, classes=ABC, labelled=True)


def test_an_ignored_value_is_ignored(write_folder, tmp_path: Path) -> None:
    shards = pack(write_folder(FOUR, classes={"0": "a", "1": "other"}), tmp_path / "shards")
    dataset = opened(shards, class_map={"other": "ignore"})
    assert dataset.label(0).unique().tolist() == [0, IGNORE]
