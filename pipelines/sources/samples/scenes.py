"""Drawn photos of places and living beings, one short function a category."""

import math

from pipelines.sources.samples.canvas import BLACK, WHITE, Canvas, Colour, hue


def draw_outdoors(canvas: Canvas) -> None:
    """Mountains under a sun, meadow and firs."""
    dusk = canvas.chance(0.3)
    sky = hue(canvas.between(10, 40), 0.5, 0.95) if dusk else hue(canvas.between(195, 215), 0.5)
    canvas.background(sky, hue(canvas.between(190, 210), 0.15, 0.98))
    canvas.disc(canvas.between(0.15, 0.85), canvas.between(0.12, 0.3), 0.09, hue(48, 0.75, 0.99))
    for _ in range(3):
        x, top, half = (
            canvas.between(0.1, 0.9),
            canvas.between(0.25, 0.42),
            canvas.between(0.3, 0.45),
        )
        rock = hue(canvas.between(200, 260), 0.25, canvas.between(0.35, 0.6))
        canvas.shape([(x - half, 0.8), (x, top), (x + half, 0.8)], rock)
        snow = [(x - half * 0.2, top + 0.1), (x, top), (x + half * 0.2, top + 0.1)]
        canvas.shape([*snow, (x + 0.02, top + 0.07)], WHITE)
    meadow = hue(canvas.between(85, 130), 0.6, canvas.between(0.45, 0.65))
    canvas.box(0, 0.72, 1, 1, meadow)
    for _ in range(canvas.random.randint(3, 7)):
        _draw_fir(canvas, canvas.between(0.05, 0.95), canvas.between(0.78, 0.95))


def _draw_fir(canvas: Canvas, x: float, foot: float) -> None:
    green = hue(canvas.between(120, 155), 0.65, canvas.between(0.28, 0.42))
    canvas.box(x - 0.01, foot - 0.03, x + 0.01, foot, hue(25, 0.6, 0.35))
    for tier in range(3):
        half, base = 0.07 - tier * 0.016, foot - 0.02 - tier * 0.055
        canvas.shape([(x - half, base), (x, base - 0.1), (x + half, base)], green)


def draw_animal(canvas: Canvas) -> None:
    """The face of a cat or a dog."""
    canvas.background(canvas.some_hue(0.25, 0.95), canvas.some_hue(0.3, 0.85))
    canvas.place(0.07, 0.85, 1.15)
    fur = hue(canvas.between(18, 42), canvas.between(0.15, 0.7), canvas.between(0.4, 0.92))
    dark: Colour = (fur[0] * 2 // 3, fur[1] * 2 // 3, fur[2] * 2 // 3)
    cat = canvas.chance(0.5)
    if cat:
        for side in (-1, 1):
            ear = [(0.5 + side * 0.27, 0.45), (0.5 + side * 0.25, 0.12), (0.5 + side * 0.05, 0.3)]
            canvas.shape(ear, dark)
    canvas.oval(0.5, 0.52, 0.28, 0.26, fur)
    if not cat:
        for side in (-1, 1):
            canvas.oval(0.5 + side * 0.28, 0.5, 0.08, 0.2, dark)
        canvas.oval(0.5, 0.64, 0.13, 0.11, WHITE)
        canvas.oval(0.5, 0.74, 0.04, 0.07, hue(350, 0.5, 0.9))
    for side in (-1, 1):
        _draw_eye(canvas, 0.5 + side * 0.11, cat)
        for droop in (-0.03, 0.0, 0.03) if cat else ():
            whisker = [(0.5 + side * 0.06, 0.62), (0.5 + side * 0.32, 0.6 + droop * 2)]
            canvas.line(whisker, WHITE, 0.006)
    canvas.shape([(0.45, 0.57), (0.55, 0.57), (0.5, 0.63)], hue(350, 0.4, 0.5) if cat else BLACK)
    for side in (-1, 1):
        canvas.arc(0.5 + side * 0.045, 0.645, 0.045, 0.04, (0, 180), BLACK, 0.009)


def _draw_eye(canvas: Canvas, x: float, cat: bool) -> None:
    canvas.oval(x, 0.46, 0.05, 0.05, hue(canvas.between(60, 140), 0.6) if cat else WHITE)
    canvas.oval(x, 0.46, 0.016 if cat else 0.034, 0.042 if cat else 0.034, BLACK)
    canvas.disc(x + 0.012, 0.445, 0.009, WHITE)


def draw_sport(canvas: Canvas) -> None:
    """A ball on a marked field or court, seen from above."""
    court = canvas.random.choice([hue(110, 0.6, 0.55), hue(18, 0.65, 0.75), hue(210, 0.6, 0.6)])
    canvas.background(court, court)
    if court[1] > court[0] and court[1] > court[2]:
        mown = (court[0] + 14, court[1] + 18, court[2] + 12)
        for stripe in range(0, 8, 2):
            canvas.box(stripe / 8, 0, (stripe + 1) / 8, 1, mown)
    canvas.place(0.12, 0.9, 1.2)
    canvas.line([(-0.2, 0.5), (1.2, 0.5)], WHITE, 0.014)
    canvas.ring(0.5, 0.5, 0.22, WHITE, 0.014)
    for edge in (0.02, 0.98):
        canvas.line([(-0.2, edge), (1.2, edge)], WHITE, 0.014)
    canvas.line([(0.28, 0.02), (0.28, 0.2), (0.72, 0.2), (0.72, 0.02)], WHITE, 0.014)
    x, y, radius = canvas.between(0.3, 0.7), canvas.between(0.4, 0.75), canvas.between(0.12, 0.18)
    canvas.oval(x + 0.03, y + 0.04, radius, radius, (40, 60, 40))
    canvas.random.choice([_draw_football, _draw_basketball, _draw_tennis_ball])(
        canvas, x, y, radius
    )


def _draw_football(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.disc(x, y, radius, WHITE)
    turns = [2 * math.pi * corner / 5 - math.pi / 2 for corner in range(5)]
    inner = [(x + radius * 0.4 * math.cos(t), y + radius * 0.4 * math.sin(t)) for t in turns]
    canvas.shape(inner, BLACK)
    for (px, py), turn in zip(inner, turns, strict=True):
        rim = (x + radius * 0.85 * math.cos(turn), y + radius * 0.85 * math.sin(turn))
        canvas.line([(px, py), rim], BLACK, 0.008)
        canvas.disc(*rim, radius * 0.17, BLACK)
    canvas.ring(x, y, radius, BLACK, 0.008)


def _draw_basketball(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.disc(x, y, radius, hue(24, 0.8, 0.92))
    canvas.line([(x - radius, y), (x + radius, y)], BLACK, 0.009)
    canvas.line([(x, y - radius), (x, y + radius)], BLACK, 0.009)
    for side in (-1, 1):
        turn = (-60.0, 60.0) if side < 0 else (120.0, 240.0)
        canvas.arc(x + side * radius * 1.1, y, radius * 0.75, radius * 0.95, turn, BLACK, 0.009)
    canvas.ring(x, y, radius, BLACK, 0.009)


def _draw_tennis_ball(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.disc(x, y, radius, hue(70, 0.75, 0.92))
    for side in (-1, 1):
        turn = (-50.0, 50.0) if side < 0 else (130.0, 230.0)
        canvas.arc(x + side * radius * 1.3, y, radius, radius * 0.95, turn, WHITE, 0.016)


def draw_family(canvas: Canvas) -> None:
    """Grown-ups and children hand in hand, under a heart."""
    canvas.background(
        hue(canvas.between(30, 55), 0.25, 0.99), hue(canvas.between(20, 40), 0.4, 0.9)
    )
    canvas.box(0, 0.86, 1, 1, hue(canvas.between(80, 120), 0.45, 0.7))
    canvas.place(0.04, 0.9, 1.05)
    canvas.heart(0.5, 0.15, canvas.between(0.06, 0.1), hue(canvas.between(340, 365), 0.7, 0.9))
    sizes = canvas.random.choice([(1, 0.6, 0.95), (0.95, 0.5, 0.65, 1), (1, 0.55), (0.6, 1, 0.7)])
    step = 0.72 / len(sizes)
    hands = []
    for place, size in enumerate(sizes):
        x = 0.14 + step * (place + 0.5)
        hands.append((x, 0.88 - 0.26 * size))
        _draw_person(canvas, x, size)
    canvas.line(hands, hue(25, 0.45, 0.85), 0.02)


def _draw_person(canvas: Canvas, x: float, size: float) -> None:
    skin = hue(canvas.between(18, 30), canvas.between(0.3, 0.6), canvas.between(0.55, 0.95))
    clothes, top = canvas.some_hue(0.65, 0.8), 0.88 - 0.42 * size
    for side in (-1, 1):
        canvas.line([(x + side * 0.03 * size, 0.7), (x + side * 0.03 * size, 0.88)], BLACK, 0.025)
    half = 0.08 * size
    canvas.shape([(x - half * 0.6, top), (x + half * 0.6, top), (x + half, 0.78), (x - half, 0.78)],
                 clothes)  # fmt: skip
    canvas.disc(x, top - 0.07 * size, 0.075 * size, skin)
    hair = hue(canvas.between(15, 45), 0.6, canvas.between(0.15, 0.6))
    canvas.arc(x, top - 0.08 * size, 0.066 * size, 0.066 * size, (180, 360), hair, 0.03 * size)


def draw_tattoo(canvas: Canvas) -> None:
    """A forearm with a motif in dark ink."""
    canvas.background(canvas.some_hue(0.12, 0.5), canvas.some_hue(0.15, 0.3))
    canvas.place(0.05, 0.95, 1.15)
    skin = hue(canvas.between(16, 30), canvas.between(0.3, 0.55), canvas.between(0.6, 0.95))
    lean = canvas.between(-0.12, 0.12)
    canvas.shape(
        [(0.2 + lean, -0.3), (0.8 + lean, -0.3), (0.7 - lean, 1.3), (0.3 - lean, 1.3)], skin
    )
    ink = hue(canvas.between(200, 260), 0.5, 0.2)
    motif = canvas.random.choice([_draw_anchor, _draw_rose, _draw_arrow_heart, _draw_moon])
    motif(canvas, ink)
    for side in (-1, 1):
        canvas.arc(0.5, 0.5, 0.25, 0.3, (90 + side * 35, 90 + side * 75), ink, 0.01)


def _draw_anchor(canvas: Canvas, ink: Colour) -> None:
    canvas.ring(0.5, 0.29, 0.045, ink, 0.018)
    canvas.line([(0.5, 0.335), (0.5, 0.68)], ink, 0.022)
    canvas.line([(0.4, 0.42), (0.6, 0.42)], ink, 0.02)
    canvas.arc(0.5, 0.53, 0.16, 0.16, (15, 165), ink, 0.022)


def _draw_rose(canvas: Canvas, ink: Colour) -> None:
    for ring in range(5):
        start = canvas.between(0, 360)
        canvas.arc(0.5, 0.4, 0.03 + ring * 0.025, 0.03 + ring * 0.025, (start, start + 290), ink)
    canvas.line([(0.5, 0.53), (0.49, 0.62), (0.51, 0.76)], ink, 0.016)
    for side in (-1, 1):
        canvas.shape([(0.5, 0.66), (0.5 + side * 0.12, 0.58), (0.5 + side * 0.08, 0.67)], ink)


def _draw_arrow_heart(canvas: Canvas, ink: Colour) -> None:
    canvas.heart(0.5, 0.46, 0.16, ink)
    canvas.heart(0.5, 0.46, 0.125, hue(canvas.between(345, 365), 0.7, 0.65))
    canvas.line([(0.28, 0.6), (0.72, 0.34)], ink, 0.014)
    canvas.shape([(0.75, 0.32), (0.68, 0.32), (0.72, 0.39)], ink)


def _draw_moon(canvas: Canvas, ink: Colour) -> None:
    canvas.arc(0.5, 0.45, 0.15, 0.15, (60, 300), ink, 0.022)
    canvas.arc(0.55, 0.45, 0.11, 0.13, (75, 285), ink, 0.014)
    for _ in range(4):
        canvas.star(canvas.between(0.47, 0.66), canvas.between(0.33, 0.6), 0.026, ink)


def draw_travel(canvas: Canvas) -> None:
    """A beach with palm and plane, or a suitcase before the sky."""
    canvas.background(
        hue(canvas.between(185, 215), 0.55, 0.95), hue(canvas.between(20, 50), 0.2, 0.99)
    )
    canvas.place(0.05, 0.9, 1.1)
    _draw_plane(canvas, canvas.between(0.25, 0.7), canvas.between(0.15, 0.3))
    canvas.stay()
    if canvas.chance(0.5):
        canvas.box(0, 0.62, 1, 0.82, hue(canvas.between(180, 200), 0.7, 0.75))
        canvas.oval(0.5, 1.0, 0.8, 0.22, hue(42, 0.4, 0.95))
        _draw_palm(canvas, canvas.between(0.2, 0.8))
    else:
        canvas.box(0, 0.84, 1, 1, hue(30, 0.1, 0.6))
        _draw_suitcase(canvas, canvas.between(0.3, 0.7))


def _draw_plane(canvas: Canvas, x: float, y: float) -> None:
    canvas.line([(x - 0.35, y + 0.12), (x - 0.17, y + 0.04)], WHITE, 0.008)
    canvas.line([(x - 0.13, y + 0.03), (x + 0.13, y - 0.03)], WHITE, 0.055)
    canvas.shape([(x, y), (x - 0.09, y + 0.15), (x - 0.04, y + 0.15), (x + 0.07, y)], WHITE)
    canvas.shape([(x, y - 0.01), (x - 0.1, y - 0.1), (x - 0.06, y - 0.11), (x + 0.06, y - 0.02)],
                 hue(210, 0.15, 0.85))  # fmt: skip
    tail = canvas.some_hue(0.8, 0.85)
    canvas.shape([(x - 0.14, y + 0.03), (x - 0.18, y - 0.07), (x - 0.07, y + 0.02)], tail)


def _draw_palm(canvas: Canvas, x: float) -> None:
    lean = canvas.between(-0.08, 0.08)
    top = (x + lean, 0.42)
    canvas.line([(x, 0.88), (x + lean * 0.4, 0.65), top], hue(28, 0.55, 0.5), 0.03)
    for angle in range(150, 400, 40):
        reach = math.radians(angle)
        tip = (top[0] + 0.18 * math.cos(reach), top[1] + 0.12 * math.sin(reach) + 0.03)
        middle = ((top[0] + tip[0]) / 2, (top[1] + tip[1]) / 2 - 0.04)
        canvas.shape([top, middle, tip, (middle[0], middle[1] + 0.035)], hue(125, 0.65, 0.45))


def _draw_suitcase(canvas: Canvas, x: float) -> None:
    shell = canvas.some_hue(0.65, 0.75)
    edge: Colour = (shell[0] * 3 // 4, shell[1] * 3 // 4, shell[2] * 3 // 4)
    canvas.line([(x - 0.07, 0.5), (x - 0.07, 0.38), (x + 0.07, 0.38), (x + 0.07, 0.5)], BLACK, 0.02)
    canvas.box(x - 0.2, 0.48, x + 0.2, 0.86, shell, 0.04)
    for rib in (-0.1, 0.0, 0.1):
        canvas.line([(x + rib, 0.52), (x + rib, 0.82)], edge, 0.012)
    for side in (-0.14, 0.14):
        canvas.disc(x + side, 0.88, 0.025, BLACK)


def draw_wellbeing(canvas: Canvas) -> None:
    """Someone in the lotus seat before a rising sun, with leaves."""
    canvas.background(
        hue(canvas.between(150, 190), 0.25, 0.95), hue(canvas.between(90, 140), 0.25, 0.9)
    )
    canvas.place(0.05, 0.9, 1.1)
    canvas.disc(0.5, 0.42, canvas.between(0.27, 0.34), hue(canvas.between(35, 55), 0.4, 0.99))
    canvas.oval(0.5, 0.86, 0.36, 0.05, canvas.some_hue(0.45, 0.75))
    skin = hue(canvas.between(18, 30), canvas.between(0.3, 0.6), canvas.between(0.55, 0.9))
    clothes = canvas.some_hue(0.5, 0.65)
    canvas.disc(0.5, 0.3, 0.075, skin)
    canvas.disc(0.5, 0.215, 0.035, hue(25, 0.6, 0.25))
    canvas.shape([(0.41, 0.41), (0.59, 0.41), (0.56, 0.7), (0.44, 0.7)], clothes)
    for side in (-1, 1):
        arm = [(0.5 + side * 0.08, 0.43), (0.5 + side * 0.2, 0.57), (0.5 + side * 0.27, 0.72)]
        canvas.line(arm, skin, 0.045)
        canvas.line([(0.5 + side * 0.05, 0.72), (0.5 + side * 0.27, 0.79)], clothes, 0.085)
        canvas.line([(0.5 + side * 0.27, 0.81), (0.5 - side * 0.1, 0.84)], clothes, 0.06)
        leaf = 0.5 + side * canvas.between(0.36, 0.42)
        green = hue(canvas.between(95, 140), 0.6, 0.55)
        for lift in range(3):
            y = 0.84 - lift * 0.11
            sides = (leaf + 0.06, y - 0.07), (leaf - 0.04, y - 0.06)
            canvas.shape([(leaf, y), sides[0], (leaf, y - 0.14), sides[1]], green)
