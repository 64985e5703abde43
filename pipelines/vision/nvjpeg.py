"""JPEGs decoded, turned upright and resized on the GPU, many at once."""

import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipelines.vision.batcher import is_out_of_memory
from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo, read_stored
from pipelines.vision.devices import Streams
from pipelines.vision.pixels import LONGEST_SHAPE, plan_resize
from pipelines.vision.signatures import is_baseline_jpeg, is_cut_short
from schemas.errors import AfinError, PhotoError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

LARGEST_PIXELS = 2**24
"""Larger photos are left to the CPU: while one is resized it takes some 20 bytes a pixel."""

PIXELS_AT_ONCE = 2**26
"""Pixels decoded in one go: a batch of large photos might not fit into a device's memory."""

_SUBSAMPLINGS = frozenset(("444", "422", "420", "Gray"))
_COLOURS = frozenset(("YCbCr", "Gray"))


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG still to be decoded: its bytes, its size in pixels as stored, and how it is held."""

    data: bytes
    width: int
    height: int
    orientation: int
    limits: PhotoLimits

    @property
    def nbytes(self) -> int:
        """Memory it takes while it waits."""
        return len(self.data)


Photo = NDArray[np.uint8] | Jpeg
Decode = Callable[[list[Any], str], list[Any]]
"""Turns JPEGs' bytes, ``(b,) uint8`` tensors, into ``(3, height, width) uint8`` on a device.

Raises whatever it likes if one of them is not to its taste.
"""


def accept_jpeg(data: bytes, limits: PhotoLimits) -> Jpeg | None:
    """Look at a photo's header; None for one that is better decoded on the CPU.

    Those are progressive JPEGs, which no hardware decodes, unusual colours, panoramas, other
    formats, and whatever is wrong: the CPU then says what.
    """
    if not is_baseline_jpeg(data) or is_cut_short(data):
        return None
    try:
        width, height, orientation = read_stored(data, limits)
        rows, columns, colours, subsampling = simplejpeg.decode_jpeg_header(data)
    except (PhotoError, ValueError, RuntimeError):
        return None
    usual = colours in _COLOURS and subsampling in _SUBSAMPLINGS
    long = max(width, height) > LONGEST_SHAPE * min(width, height)
    if not usual or long or width * height > LARGEST_PIXELS or (columns, rows) != (width, height):
        return None
    return Jpeg(data, width, height, orientation, limits)


class DeviceDecoder:
    """Brings a batch's photos onto a device: decoded already, or as JPEGs to be decoded there.

    Several threads may use it at once, each on a stream of its own.
    """

    def __init__(
        self, transform: PhotoTransform, device: str, *, decode: Decode | None = None
    ) -> None:
        self._transform = transform
        self._device = device
        self._decode = decode or _load_torchvision()
        self._pixels_at_once = PIXELS_AT_ONCE
        self._streams = Streams(device)

    def gather(self, photos: Sequence[Photo]) -> "torch.Tensor":
        """Return photos as ``(n, size, size, 3) uint8`` on the device, done: any stream may read.

        Raises:
            PhotoError: one cannot be decoded by the CPU either.
        """
        import torch

        with torch.inference_mode(), self._streams.enter():
            batch = self._make_room(len(photos))
            ready = {row: one for row, one in enumerate(photos) if isinstance(one, np.ndarray)}
            if ready:
                batch[list(ready)] = self._upload(np.stack(list(ready.values())))
            left = {row: one for row, one in enumerate(photos) if isinstance(one, Jpeg)}
            for rows in self._cut(left):
                batch[rows] = self._decode_or_halve([left[row] for row in rows])
            self._wait()
        return batch

    def decode_together(self, jpegs: Sequence[Jpeg]) -> "torch.Tensor":
        """Decode JPEGs in one go as ``(n, size, size, 3) uint8``; raises if one is refused."""
        import torch

        data = [torch.frombuffer(bytearray(one.data), dtype=torch.uint8) for one in jpegs]
        # torchvision decodes on a stream that does not wait for ours, into memory that what is
        # still queued here may be reading (pytorch/vision#9606).
        self._wait()
        pictures = self._decode(data, self._device)
        alike: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
        for row, (one, picture) in enumerate(zip(jpegs, pictures, strict=True)):
            if picture.shape != (3, one.height, one.width):
                raise AfinError(f"A JPEG of {one.width} x {one.height} became {picture.shape}.")
            alike[one.width, one.height, one.orientation].append(row)
        batch = self._make_room(len(jpegs))
        # Photos of one size are one resize: a kernel for each would cost more than its work.
        for (_width, _height, orientation), rows in alike.items():
            same = torch.stack([pictures[row] for row in rows])
            batch[rows] = self._resize(_turn_upright(same, orientation))
        return batch

    def _decode_or_halve(self, jpegs: Sequence[Jpeg]) -> "torch.Tensor":
        """Decode JPEGs; if that fails, halve them until the one to blame goes to the CPU alone."""
        import torch

        try:
            return self.decode_together(jpegs)
        except Exception as error:  # noqa: BLE001  # nvJPEG's are RuntimeErrors, whatever is wrong
            if is_out_of_memory(error) and len(jpegs) > 1:
                self._pixels_at_once = max(self._pixels_at_once // 2, 1)
            log.debug("%d JPEGs were refused on %s: %s", len(jpegs), self._device, error)
        if len(jpegs) == 1:
            alone = jpegs[0]
            return self._upload(decode_photo(alone.data, self._transform, alone.limits)[None])
        half = (len(jpegs) + 1) // 2
        return torch.cat([self._decode_or_halve(jpegs[:half]), self._decode_or_halve(jpegs[half:])])

    def _cut(self, left: Mapping[int, Jpeg]) -> Iterator[list[int]]:
        """Cut the rows of JPEGs into parts that fit into memory together, or of one."""
        part: list[int] = []
        pixels = 0
        for row, one in left.items():
            own = one.width * one.height
            if part and pixels + own > self._pixels_at_once:
                yield part
                part, pixels = [], 0
            part.append(row)
            pixels += own
        if part:
            yield part

    def _resize(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """Resize and crop ``(n, 3, h, w) uint8`` to ``(n, size, size, 3)``, as the CPU does."""
        from torch.nn.functional import interpolate

        size, mode = self._transform.size, self._transform.interpolation
        height, width = pixels.shape[2:]
        wide, high, left, top = plan_resize(width, height, self._transform)
        floats = pixels.float()  # no GPU resizes whole numbers
        # One side after the other, rounded in between: so does the CPU.
        for shape in ((height, wide), (high, wide)):
            floats = interpolate(floats, shape, mode=mode, antialias=True).round_().clamp_(0, 255)
        return floats[:, :, top : top + size, left : left + size].byte().permute(0, 2, 3, 1)

    def _make_room(self, count: int) -> "torch.Tensor":
        import torch

        size = self._transform.size
        return torch.empty((count, size, size, 3), dtype=torch.uint8, device=self._device)

    def _upload(self, photos: NDArray[np.uint8]) -> "torch.Tensor":
        import torch

        pixels = torch.from_numpy(photos)
        if self._device == "cpu":
            return pixels
        return pixels.pin_memory().to(self._device, non_blocking=True)

    def _wait(self) -> None:
        """Wait until all that this thread has queued is done."""
        if self._device != "cpu":
            import torch

            torch.cuda.current_stream(self._device).synchronize()


def _turn_upright(pixels: "torch.Tensor", orientation: int) -> "torch.Tensor":
    """Undo what an EXIF orientation from 1 to 8 says of ``(n, 3, h, w)`` pixels."""
    if orientation in {2, 3, 7}:
        pixels = pixels.flip(-1)
    if orientation in {3, 4, 7}:
        pixels = pixels.flip(-2)
    if orientation in {5, 7}:
        pixels = pixels.mT
    if orientation in {6, 8}:
        pixels = pixels.rot90(1 if orientation == 8 else -1, (-2, -1))  # noqa: PLR2004
    return pixels.contiguous()


def _load_torchvision() -> Decode:
    """Return torchvision's decoder: nvJPEG on a GPU, libjpeg-turbo on the CPU."""
    from torchvision.io import ImageReadMode, decode_jpeg

    # Deprecated since torchvision 0.29; its successor is one more library tied to torch's version.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torchvision\.io")

    def decode(data: list[Any], device: str) -> list[Any]:
        pictures: list[Any] = decode_jpeg(data, mode=ImageReadMode.RGB, device=device)
        return pictures

    return decode
