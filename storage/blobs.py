"""Photos and bundles as files, on this machine or in an object store, through fsspec."""

import hashlib
import itertools
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec

from schemas.errors import BlobError, LostBlobError

# Names of half files that no other process gives, nor this one twice.
_OURS = os.urandom(8).hex()
_numbers = itertools.count()


class BlobStore:
    """Content-addressed photos, immutable bundles and the working files of trainings.

    A local folder is written by temporary file and rename, so that a reader never sees half a
    file; an object store's own uploads have that property.
    """

    def __init__(self, url: str, *, cache_dir: Path) -> None:
        """Open the store at any fsspec URL; ``cache_dir`` holds copies of remote bundles.

        Raises:
            BlobError: the URL's scheme has no driver installed.
        """
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BlobError(
                f"The blob store's kind is not installed ({error}); "
                "for S3, install afin[s3]: pip install 'afin[s3]'."
            ) from error
        self._root = str(root).rstrip("/")
        self._cache_dir = cache_dir
        protocol: Any = self._fs.protocol
        self.local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)
        self.location = url.partition("?")[0] if "@" not in url else "(with credentials)"

    def write_photo(self, data: bytes) -> str:
        """Keep a photo's bytes and return their sha256; keeping them twice is free."""
        sha256 = hashlib.sha256(data).hexdigest()
        key = _photo_key(sha256)
        if not self.exists(key):
            self.write(key, data)
        return sha256

    def read_photo(self, sha256: str) -> bytes:
        """Return a photo's bytes.

        Raises:
            LostBlobError: the store no longer has the photo.
            BlobError: the store cannot be reached.
        """
        return self.read(_photo_key(sha256))

    def delete_photo(self, sha256: str) -> None:
        """Forget a photo; one that is gone already is fine."""
        self.delete(_photo_key(sha256))

    def exists(self, key: str) -> bool:
        """Whether a file is kept under ``key``."""
        try:
            if self.local:
                return os.path.exists(self._path(key))  # noqa: PTH110 - a photo is looked for as often as one comes
            return bool(self._fs.exists(self._path(key)))
        except OSError as error:
            raise self._unreachable(error) from error

    def read(self, key: str) -> bytes:
        """Return the content of one file.

        Raises:
            BlobError: as ``read_photo``.
        """
        try:
            data: bytes = self._fs.cat_file(self._path(key))
        except FileNotFoundError:
            raise LostBlobError(
                f"The blob store has lost {key}: restore it from a backup, or import it again."
            ) from None
        except OSError as error:
            raise self._unreachable(error) from error
        return data

    def write(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, replacing what was there in one step."""
        path = self._path(key)
        try:
            if not self.local:
                self._fs.pipe_file(path, data)
                return
            try:
                _replace(path, data)
            except FileNotFoundError:
                # Photos are many and their folders few: it is there nearly always.
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                _replace(path, data)
        except OSError as error:
            raise self._unreachable(error) from error

    def delete(self, key: str) -> None:
        """Remove one file; one that is gone already is fine."""
        try:
            self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreachable(error) from error

    def publish_folder(self, key: str, folder: Path) -> None:
        """Copy a finished local folder into the store under ``key``.

        Its ``manifest.json`` goes last: a folder without one is not there yet.
        """
        names = sorted((path.name for path in folder.iterdir()), key=lambda n: n == "manifest.json")
        for name in names:
            self.write(f"{key}/{name}", (folder / name).read_bytes())

    def local_folder(self, key: str) -> Path:
        """Return a folder of the store as a path on this machine, copied if it is remote.

        Raises:
            LostBlobError: there is no such folder.
            BlobError: the store cannot be reached.
        """
        if not self.exists(f"{key}/manifest.json"):
            raise LostBlobError(f"The blob store has no {key}: it was deleted, or never published.")
        if self.local:
            return Path(self._path(key))
        target = self._cache_dir / key
        if not (target / "manifest.json").exists():
            half = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            half.mkdir(parents=True)
            try:
                for path in self._fs.ls(self._path(key), detail=False):
                    name = str(path).rsplit("/", 1)[-1]
                    (half / name).write_bytes(self.read(f"{key}/{name}"))
                half.rename(target)
            except OSError:
                shutil.rmtree(half, ignore_errors=True)
                if not (target / "manifest.json").exists():
                    raise
        return target

    def local_file(self, key: str) -> Path:
        """Return one file of the store as a path on this machine, copied if it is remote.

        Raises:
            BlobError: as ``read_photo``.
        """
        if self.local:
            if not self.exists(key):
                raise LostBlobError(f"The blob store has lost {key}: restore it from a backup.")
            return Path(self._path(key))
        target = self._cache_dir / key
        if not target.exists():
            data = self.read(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            half = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                half.write_bytes(data)
                half.replace(target)
            finally:
                half.unlink(missing_ok=True)
        return target

    def check(self) -> None:
        """Write, read and delete a small file.

        Raises:
            BlobError: the store does not do all three.
        """
        key = f"check/{uuid.uuid4().hex}"
        self.write(key, b"afin")
        if self.read(key) != b"afin":
            raise BlobError(f"The blob store {self.location} returned other bytes than were kept.")
        self.delete(key)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _unreachable(self, error: OSError) -> BlobError:
        return BlobError(
            f"The blob store {self.location} cannot be used: {error.strerror or error}. "
            "Check AFIN_BLOB_URL, its credentials and the free space."
        )


def _replace(path: str, data: bytes) -> None:
    """Write a file of this machine beside its place, and move it there in one step."""
    folder, _, name = path.rpartition("/")
    half = f"{folder}/.{name}.{_OURS}.{os.getpid()}.{next(_numbers)}"
    # Photos come by the thousand: pathlib and io would cost more than the writing does.
    file = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)
        os.replace(half, path)  # noqa: PTH105 - as above
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def _photo_key(sha256: str) -> str:
    # One level of 256 folders, which file systems with indexed folders find a hundred million
    # photos in; with a second level of 65,536, making them cost more than writing the photos.
    return f"photos/{sha256[:2]}/{sha256}"
