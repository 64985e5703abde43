"""A small drawing surface in unit coordinates, with a seeded hand that never draws twice alike."""

import colorsys
import io
import math
from random import Random

from PIL import Image, ImageDraw

SIDE_PIXELS = 320
_OVERSAMPLING = 2  # drawn at twice the size and averaged down, for smooth edges

Colour = tuple[int, int, int]
Point = tuple[float, float]


def hue(degrees: float, saturation: float = 0.7, value: float = 0.85) -> Colour:
    """Return an RGB colour from hue (0-360), saturation and value (0-1)."""
    red, green, blue = colorsys.hsv_to_rgb(degrees % 360 / 360, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


WHITE: Colour = (250, 250, 248)
BLACK: Colour = (28, 28, 32)


def seed_random(name: str) -> Random:
    """Return a random source that gives the same for the same name, everywhere."""
    return Random(name)  # noqa: S311 - drawings hold no secrets


class Canvas:
    """A square picture; (0, 0) is its upper left corner and (1, 1) its lower right one.

    Shapes are moved, scaled and mirrored together by ``place``; the background is not.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self._side = SIDE_PIXELS * _OVERSAMPLING
        self._image = Image.new("RGB", (self._side, self._side), WHITE)
        self._draw = ImageDraw.Draw(self._image)
        self._centre, self._scale, self._mirror = (0.5, 0.5), 1.0, 1.0

    def between(self, low: float, high: float) -> float:
        """Return a random number between two."""
        return self.random.uniform(low, high)

    def chance(self, share: float) -> bool:
        """Return True in a ``share`` (0-1) of all cases."""
        return self.random.random() < share

    def some_hue(self, saturation: float = 0.7, value: float = 0.85) -> Colour:
        """Return a colour of random hue."""
        return hue(self.between(0, 360), saturation, value)

    def background(self, top: Colour, bottom: Colour) -> None:
        """Fill the picture with a gradient."""
        strip = Image.new("RGB", (1, 2))
        strip.putpixel((0, 0), top)
        strip.putpixel((0, 1), bottom)
        column = strip.resize((1, self._side), Image.Resampling.BILINEAR)
        self._image.paste(column.resize((self._side, self._side), Image.Resampling.NEAREST))

    def place(self, shift: float = 0.08, least: float = 0.8, most: float = 1.05) -> None:
        """Move, scale and perhaps mirror whatever is drawn from now on."""
        self._centre = (0.5 + self.between(-shift, shift), 0.5 + self.between(-shift, shift))
        self._scale = self.between(least, most)
        self._mirror = self.random.choice([1.0, -1.0])

    def stay(self) -> None:
        """Draw in plain coordinates again."""
        self._centre, self._scale, self._mirror = (0.5, 0.5), 1.0, 1.0

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Draw an ellipse around a point."""
        (left, top), (right, bottom) = self._box(x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse((left, top, right, bottom), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a circle around a point."""
        self.oval(x, y, radius, radius, colour)

    def ring(self, x: float, y: float, radius: float, colour: Colour, width: float = 0.012) -> None:
        """Draw the outline of a circle."""
        (left, top), (right, bottom) = self._box(x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse((left, top, right, bottom), outline=colour, width=self._pixels(width))

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, corner: float = 0.0
    ) -> None:
        """Draw an upright rectangle, with rounded corners if ``corner`` says so."""
        (left, top), (right, bottom) = self._box(x0, y0, x1, y1)
        radius = corner * self._scale * self._side
        self._draw.rounded_rectangle((left, top, right, bottom), radius, fill=colour)

    def shape(self, points: list[Point], colour: Colour) -> None:
        """Draw a polygon."""
        self._draw.polygon([self._point(x, y) for x, y in points], fill=colour)

    def line(self, points: list[Point], colour: Colour, width: float = 0.012) -> None:
        """Draw a line with round joints and ends."""
        pixels = self._pixels(width)
        path = [self._point(x, y) for x, y in points]
        self._draw.line(path, fill=colour, width=pixels, joint="curve")
        for x, y in (path[0], path[-1]):
            half = pixels / 2
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)

    def arc(
        self, x: float, y: float, rx: float, ry: float, turn: tuple[float, float], colour: Colour,
        width: float = 0.012,
    ) -> None:  # fmt: skip
        """Draw part of an ellipse between two angles (degrees, clockwise from the right)."""
        start, end = (math.radians(angle) for angle in turn)
        steps = [start + (end - start) * step / 24 for step in range(25)]
        path = [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in steps]
        self.line(path, colour, width)

    def star(self, x: float, y: float, radius: float, colour: Colour, points: int = 5) -> None:
        """Draw a star."""
        corners = []
        for corner in range(points * 2):
            reach = radius if corner % 2 == 0 else radius * 0.45
            angle = math.pi * corner / points - math.pi / 2
            corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
        self.shape(corners, colour)

    def heart(self, x: float, y: float, size: float, colour: Colour) -> None:
        """Draw a heart."""
        steps = [2 * math.pi * step / 40 for step in range(40)]
        curve = [
            (
                16 * math.sin(t) ** 3,
                13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t),
            )
            for t in steps
        ]
        self.shape([(x + size * dx / 17, y - size * dy / 17) for dx, dy in curve], colour)

    def save(self) -> bytes:
        """Return the picture as a JPEG of ``SIDE_PIXELS`` squared."""
        out = io.BytesIO()
        self._image.reduce(_OVERSAMPLING).save(out, "JPEG", quality=88)
        return out.getvalue()

    def _point(self, x: float, y: float) -> Point:
        (cx, cy), scale = self._centre, self._scale * self._side
        across = cx * self._side + (x - 0.5) * self._mirror * scale
        return across, cy * self._side + (y - 0.5) * scale

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[Point, Point]:
        (ax, ay), (bx, by) = self._point(x0, y0), self._point(x1, y1)
        return (min(ax, bx), min(ay, by)), (max(ax, bx), max(ay, by))

    def _pixels(self, width: float) -> int:
        return max(1, round(width * self._scale * self._side))
