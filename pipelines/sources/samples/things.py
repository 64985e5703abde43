"""Drawn photos of things, one short function a category."""

import math

from pipelines.sources.samples.canvas import BLACK, WHITE, Canvas, Colour, hue


def draw_art(canvas: Canvas) -> None:
    """A painting in its frame, and a palette with a brush."""
    canvas.background(
        hue(canvas.between(25, 50), 0.08, 0.93), hue(canvas.between(25, 50), 0.15, 0.8)
    )
    canvas.place(0.05, 0.9, 1.1)
    frame = hue(canvas.between(20, 45), 0.6, canvas.between(0.4, 0.75))
    canvas.box(0.18, 0.06, 0.82, 0.62, frame)
    canvas.box(0.22, 0.1, 0.78, 0.58, canvas.some_hue(0.2, 0.97))
    for _ in range(canvas.random.randint(7, 12)):
        x, y = canvas.between(0.28, 0.72), canvas.between(0.16, 0.52)
        colour, size = canvas.some_hue(0.75, 0.9), canvas.between(0.02, 0.055)
        if canvas.chance(0.5):
            canvas.disc(x, y, size, colour)
        else:
            canvas.line([(x - size, y), (x + size * 0.5, y + size * 0.9)], colour, 0.025)
    canvas.oval(0.5, 0.82, 0.3, 0.13, hue(32, 0.5, 0.75))
    canvas.oval(0.62, 0.86, 0.05, 0.03, hue(32, 0.15, 0.85))
    for blob in range(6):
        angle = math.radians(150 + blob * 38)
        x, y = 0.48 + 0.2 * math.cos(angle), 0.82 + 0.08 * math.sin(angle)
        canvas.oval(x, y, 0.038, 0.026, canvas.some_hue(0.85, 0.9))
    canvas.line([(0.66, 0.92), (0.9, 0.62)], hue(25, 0.6, 0.45), 0.018)
    canvas.line([(0.9, 0.62), (0.93, 0.58)], canvas.some_hue(0.8, 0.8), 0.03)


def draw_beauty(canvas: Canvas) -> None:
    """A lipstick, a powder compact and brush strokes of colour."""
    canvas.background(
        hue(canvas.between(320, 370), 0.2, 0.99), hue(canvas.between(320, 370), 0.35, 0.93)
    )
    canvas.place(0.06, 0.9, 1.1)
    lips = hue(canvas.between(325, 370), canvas.between(0.6, 0.9), canvas.between(0.6, 0.9))
    for stroke in range(3):
        y = 0.78 + stroke * 0.07
        shade = hue(canvas.between(325, 385), 0.55, 0.95 - stroke * 0.1)
        canvas.line([(0.12, y), (0.3, y - 0.02), (0.48, y + 0.01)], shade, 0.05)
    metal = canvas.random.choice([hue(45, 0.5, 0.8), hue(220, 0.05, 0.75), BLACK])
    canvas.box(0.2, 0.42, 0.36, 0.72, BLACK if metal != BLACK else hue(45, 0.5, 0.8), 0.015)
    canvas.box(0.22, 0.32, 0.34, 0.44, metal)
    canvas.shape([(0.235, 0.33), (0.325, 0.33), (0.325, 0.12), (0.235, 0.2)], lips)
    canvas.disc(0.68, 0.38, 0.2, metal)
    canvas.disc(0.68, 0.38, 0.17, hue(200, 0.12, 0.97))
    canvas.line([(0.6, 0.42), (0.74, 0.28)], WHITE, 0.02)
    canvas.disc(0.68, 0.74, 0.2, metal)
    canvas.disc(0.68, 0.74, 0.165, hue(canvas.between(10, 30), 0.4, 0.93))
    for _ in range(canvas.random.randint(3, 6)):
        canvas.star(canvas.between(0.05, 0.95), canvas.between(0.05, 0.25), 0.03, WHITE, 4)


def draw_food(canvas: Canvas) -> None:
    """A plate on a table, seen from above, between fork and knife."""
    wood = hue(canvas.between(18, 35), canvas.between(0.35, 0.6), canvas.between(0.4, 0.75))
    canvas.background(wood, wood)
    for board in range(1, 6):
        canvas.line(
            [(0, board / 6), (1, board / 6)], (wood[0] - 25, wood[1] - 20, wood[2] - 15), 0.006
        )
    canvas.place(0.05, 0.9, 1.05)
    steel = (205, 208, 212)
    canvas.line([(0.06, 0.25), (0.06, 0.78)], steel, 0.022)
    for prong in (-0.025, 0.0, 0.025):
        canvas.line([(0.06 + prong, 0.2), (0.06 + prong, 0.34)], steel, 0.01)
    canvas.line([(0.94, 0.22), (0.94, 0.78)], steel, 0.026)
    canvas.disc(0.51, 0.52, 0.36, (70, 55, 45))
    canvas.disc(0.5, 0.5, 0.36, WHITE)
    canvas.ring(0.5, 0.5, 0.28, canvas.some_hue(0.4, 0.85), 0.01)
    canvas.random.choice([_draw_pizza, _draw_salad, _draw_eggs])(canvas)


def _draw_pizza(canvas: Canvas) -> None:
    canvas.disc(0.5, 0.5, 0.27, hue(32, 0.6, 0.8))
    canvas.disc(0.5, 0.5, 0.235, hue(canvas.between(42, 50), 0.65, 0.97))
    for topping in range(9):
        angle, reach = topping * 2.4 + canvas.between(0, 0.4), 0.05 + 0.017 * topping
        x, y = 0.5 + reach * math.cos(angle), 0.5 + reach * math.sin(angle)
        canvas.disc(x, y, 0.034, hue(canvas.between(2, 12), 0.8, 0.75))
        canvas.disc(x + 0.05, y - 0.02, 0.013, hue(110, 0.7, 0.45))
    for cut in (0.3, 1.35, 2.4):
        dx, dy = 0.27 * math.cos(cut), 0.27 * math.sin(cut)
        canvas.line([(0.5 - dx, 0.5 - dy), (0.5 + dx, 0.5 + dy)], hue(35, 0.6, 0.65), 0.006)


def _draw_salad(canvas: Canvas) -> None:
    for _ in range(26):
        angle, reach = canvas.between(0, 2 * math.pi), canvas.between(0, 0.19)
        x, y = 0.5 + reach * math.cos(angle), 0.5 + reach * math.sin(angle)
        leaf = hue(canvas.between(80, 130), 0.65, canvas.between(0.45, 0.8))
        canvas.oval(x, y, canvas.between(0.04, 0.075), canvas.between(0.03, 0.055), leaf)
    for _ in range(7):
        x, y = canvas.between(0.36, 0.64), canvas.between(0.36, 0.64)
        canvas.disc(x, y, 0.036, hue(canvas.between(-4, 8), 0.85, 0.88))
        canvas.disc(x - 0.008, y - 0.01, 0.011, hue(5, 0.35, 0.99))


def _draw_eggs(canvas: Canvas) -> None:
    for x, y in ((0.42, 0.43), (0.57, 0.58)):
        canvas.oval(x, y, 0.12, 0.1, (255, 255, 252))
        canvas.disc(x + canvas.between(-0.02, 0.02), y, 0.048, hue(42, 0.85, 0.99))
    for strip in range(3):
        y = 0.3 + strip * 0.045
        wave = [(0.56 + step * 0.05, y + 0.014 * (-1) ** step) for step in range(4)]
        canvas.line(wave, hue(8, 0.65, canvas.between(0.55, 0.75)), 0.024)
    canvas.disc(0.4, 0.64, 0.055, hue(canvas.between(0, 8), 0.8, 0.8))


def draw_fashion(canvas: Canvas) -> None:
    """A dress or a shirt on a hanger."""
    canvas.background(canvas.some_hue(0.08, 0.96), canvas.some_hue(0.12, 0.86))
    canvas.line([(0, 0.08), (1, 0.08)], hue(30, 0.2, 0.4), 0.022)
    canvas.place(0.06, 0.9, 1.1)
    cloth = canvas.some_hue(canvas.between(0.3, 0.85), canvas.between(0.35, 0.9))
    canvas.arc(0.5, 0.14, 0.035, 0.045, (180, 420), BLACK, 0.014)
    canvas.line([(0.5, 0.19), (0.5, 0.22)], BLACK, 0.014)
    canvas.line([(0.28, 0.32), (0.5, 0.22), (0.72, 0.32)], hue(30, 0.6, 0.5), 0.026)
    trim: Colour = (cloth[0] // 2, cloth[1] // 2, cloth[2] // 2)
    if canvas.chance(0.6):
        waist = canvas.between(0.52, 0.58)
        neck = [(0.38, 0.28), (0.44, 0.3), (0.5, 0.37), (0.56, 0.3), (0.62, 0.28)]
        skirt = [(0.66, 0.4), (0.6, waist), (0.8, 0.93), (0.2, 0.93), (0.4, waist), (0.34, 0.4)]
        canvas.shape([*neck, *skirt], cloth)
        canvas.line([(0.4, waist), (0.6, waist)], trim, 0.026)
        for _ in range(canvas.random.choice([0, 14])):
            canvas.disc(canvas.between(0.41, 0.59), canvas.between(0.62, 0.88), 0.014, WHITE)
    else:
        right = [(0.6, 0.27), (0.74, 0.33), (0.9, 0.56), (0.79, 0.63), (0.7, 0.5), (0.7, 0.9)]
        left = [(1 - x, y) for x, y in reversed(right)]
        canvas.shape([(0.5, 0.33), *right, *left], cloth)
        canvas.line([(0.5, 0.34), (0.5, 0.9)], trim, 0.008)
        for button in range(5):
            canvas.disc(0.5, 0.42 + button * 0.1, 0.012, WHITE)


def draw_music(canvas: Canvas) -> None:
    """A guitar among notes."""
    canvas.background(
        hue(canvas.between(240, 300), 0.5, 0.45), hue(canvas.between(230, 320), 0.65, 0.2)
    )
    for _ in range(3):
        canvas.disc(canvas.between(0, 1), canvas.between(0, 0.25), 0.05, canvas.some_hue(0.4, 0.95))
    canvas.place(0.06, 0.9, 1.1)
    body = hue(canvas.between(5, 40), canvas.between(0.6, 0.85), canvas.between(0.55, 0.9))
    dark = hue(20, 0.6, 0.28)
    canvas.line([(0.44, 0.58), (0.84, 0.16)], dark, 0.055)
    canvas.line([(0.83, 0.17), (0.91, 0.08)], dark, 0.085)
    canvas.disc(0.34, 0.7, 0.21, body)
    canvas.disc(0.48, 0.55, 0.15, body)
    canvas.disc(0.43, 0.61, 0.065, BLACK)
    canvas.line([(0.25, 0.72), (0.34, 0.81)], dark, 0.03)
    for string in (-0.014, 0.0, 0.014):
        canvas.line([(0.29 + string, 0.76 + string), (0.88 + string, 0.12 + string)], WHITE, 0.004)
    for _ in range(canvas.random.randint(2, 4)):
        _draw_note(canvas, canvas.between(0.08, 0.4), canvas.between(0.2, 0.4))
    _draw_note(canvas, canvas.between(0.68, 0.85), canvas.between(0.65, 0.85))


def _draw_note(canvas: Canvas, x: float, y: float) -> None:
    colour = canvas.some_hue(0.35, 0.98)
    canvas.oval(x, y, 0.03, 0.023, colour)
    canvas.line([(x + 0.026, y), (x + 0.026, y - 0.14), (x + 0.075, y - 0.1)], colour, 0.012)


def draw_games(canvas: Canvas) -> None:
    """A controller under a screen with small invaders."""
    canvas.background(
        hue(canvas.between(225, 275), 0.75, 0.25), hue(canvas.between(200, 300), 0.8, 0.1)
    )
    canvas.place(0.04, 0.92, 1.08)
    glow = canvas.some_hue(0.75, 0.98)
    for column in range(3):
        _draw_invader(
            canvas, 0.22 + column * 0.22, canvas.between(0.08, 0.2), canvas.some_hue(0.7, 0.98)
        )
    pad = canvas.random.choice([(235, 235, 240), (55, 58, 70), canvas.some_hue(0.6, 0.75)])
    canvas.line([(0.3, 0.6), (0.7, 0.6)], pad, 0.26)
    for side in (-1, 1):
        canvas.line([(0.5 + side * 0.24, 0.6), (0.5 + side * 0.3, 0.82)], pad, 0.15)
        canvas.disc(0.5 + side * 0.1, 0.71, 0.055, (90, 92, 100))
    ink: Colour = (30, 30, 36)
    canvas.line([(0.21, 0.58), (0.35, 0.58)], ink, 0.045)
    canvas.line([(0.28, 0.51), (0.28, 0.65)], ink, 0.045)
    for turn, degrees in enumerate((5, 55, 130, 215)):
        angle = math.pi / 2 * turn
        x, y = 0.72 + 0.062 * math.cos(angle), 0.58 + 0.062 * math.sin(angle)
        canvas.disc(x, y, 0.03, hue(degrees, 0.8, 0.9))
    canvas.box(0.46, 0.53, 0.54, 0.56, glow, 0.01)


def _draw_invader(canvas: Canvas, x: float, y: float, colour: Colour) -> None:
    rows = ("..#..#..", "..####..", ".##..##.", "########", "#.####.#", "#.#..#.#")
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            if cell == "#":
                left, top = x + across * 0.018, y + down * 0.018
                canvas.box(left, top, left + 0.019, top + 0.019, colour)


def draw_other(canvas: Canvas) -> None:
    """Something that is about nothing of ours: a page, a clock or a brick wall."""
    canvas.background(
        hue(canvas.between(0, 360), 0.06, 0.85), hue(canvas.between(0, 360), 0.08, 0.7)
    )
    canvas.random.choice([_draw_page, _draw_clock, _draw_wall])(canvas)


def _draw_page(canvas: Canvas) -> None:
    canvas.place(0.05, 0.9, 1.05)
    canvas.box(0.2, 0.1, 0.8, 0.92, (150, 150, 150))
    canvas.box(0.18, 0.08, 0.78, 0.9, WHITE)
    canvas.line([(0.26, 0.17), (0.26 + canvas.between(0.2, 0.42), 0.17)], BLACK, 0.03)
    for number in range(10):
        y = 0.27 + number * 0.058
        canvas.line([(0.26, y), (canvas.between(0.5, 0.71), y)], (120, 120, 125), 0.014)


def _draw_clock(canvas: Canvas) -> None:
    canvas.place(0.08, 0.8, 1.1)
    canvas.disc(0.5, 0.5, 0.34, (75, 75, 80))
    canvas.disc(0.5, 0.5, 0.3, WHITE)
    for hour in range(12):
        angle = math.pi * hour / 6
        canvas.disc(0.5 + 0.26 * math.cos(angle), 0.5 + 0.26 * math.sin(angle), 0.014, BLACK)
    for reach, width in ((0.15, 0.03), (0.22, 0.018)):
        angle = canvas.between(0, 2 * math.pi)
        canvas.line([(0.5, 0.5), (0.5 + reach * math.cos(angle), 0.5 + reach * math.sin(angle))],
                    BLACK, width)  # fmt: skip


def _draw_wall(canvas: Canvas) -> None:
    tone, tall = canvas.between(0, 25), canvas.between(0.08, 0.12)
    for row in range(14):
        for column in range(-1, 6):
            left = column * 0.22 + (0.11 if row % 2 else 0.0)
            brick = hue(tone, 0.35, canvas.between(0.42, 0.6))
            canvas.box(left, row * tall, left + 0.205, row * tall + tall - 0.014, brick)
