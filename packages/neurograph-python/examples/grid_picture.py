"""A picture of a grid: feelings in the level L4Emotional, their influence, and the neighbourhood of one of them.

Run a server first (`vectrograph serve --data ./data`), then `python grid_picture.py grid.svg`. Another address goes
into NEUROGRAPH_BASE_URL. The picture is plain SVG; nothing but the client is needed.
"""

import sys
from pathlib import Path

from neurograph import GridQuery, NeuroGraphClient

USERNAME, PASSWORD = "developer", "developer123"

# Feelings by valence and arousal, from -10 to 10: placed by hand, for the picture.
FEELINGS = {
    "joy": (8, 5),
    "delight": (9, 3),
    "excitement": (6, 8),
    "pride": (6, 3),
    "hope": (5, 1),
    "calm": (6, -6),
    "relief": (4, -3),
    "contentment": (8, -4),
    "sleepiness": (1, -9),
    "boredom": (-3, -7),
    "sadness": (-7, -4),
    "gloom": (-6, -6),
    "loneliness": (-8, -2),
    "disgust": (-7, 3),
    "anger": (-6, 8),
    "fear": (-7, 6),
    "worry": (-4, 4),
    "surprise": (1, 8),
    "curiosity": (3, 5),
}
SPACE = 3  # L4Emotional
CENTER, RADIUS = "calm", 5.0
BUCKET = 5.0
# Pixels of a unit, and of the margin around the plane from -10 to 10.
UNIT, MARGIN = 28, 40
# Places at which the influence is asked for, along each axis.
STEPS = 40


def draw(client: NeuroGraphClient) -> str:
    """Make a grid of the feelings, ask it, and return the picture; the grid and its tokens are removed again."""
    made = client.tokens.create_many(
        {"text": name, "coordinates": {"L4Emotional": [x, y, 0]}, "field_radius": 4.0}
        for name, (x, y) in FEELINGS.items()
    )
    ids = dict(zip(FEELINGS, (token.id for token in made), strict=True))
    grid_id = client.grid.create(bucket_size=BUCKET).grid_id
    try:
        client.grid.add_many(grid_id, ids.values())
        near = {each.token_id for each in client.grid.neighbors(grid_id, ids[CENTER], SPACE, RADIUS)}
        cells = client.grid.query(grid_id, GridQuery(center=[0, 0, 0], radius=20), SPACE).cells
        fullest = max(cells, key=lambda cell: cell.density)
        shapes = [*_influence(client, grid_id), *_cells((fullest.x, fullest.y)), _circle(*FEELINGS[CENTER])]
        for name, place in FEELINGS.items():
            shapes.append(_token(name, place, near=ids[name] in near, center=name == CENTER))
    finally:
        client.grid.delete(grid_id)
        client.tokens.delete_many(ids.values())
    size = 20 * UNIT + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size + 24}" '
        f'viewBox="0 0 {size} {size + 24}" font-family="sans-serif" font-size="13">'
    )
    note = (
        f'<text x="{MARGIN}" y="{size + 12}" fill="#444">Level L4Emotional: valence to the right, arousal upwards. '
        f"Shade: influence. Circle: radius {RADIUS:g} around {CENTER}.</text>"
    )
    return "\n".join([head, f'<rect width="{size}" height="{size + 24}" fill="#fff"/>', *shapes, note, "</svg>", ""])


def _influence(client: NeuroGraphClient, grid_id: int) -> list[str]:
    """Return the plane in squares, the darker the stronger the influence on them; one path for each shade."""
    squares: dict[str, str] = {}
    edge = 20 / STEPS
    for column in range(STEPS):
        for row in range(STEPS):
            x, y = -10 + edge * (column + 0.5), -10 + edge * (row + 0.5)
            value = client.grid.influence(grid_id, [x, y, 0], 10, SPACE)
            shade = f"{0.05 * round(min(value, 2.0) * 6):.2f}"
            left, top = _pixel(x - edge / 2, y + edge / 2)
            side = edge * UNIT
            squares[shade] = squares.get(shade, "") + f"M{left:g} {top:g}h{side:g}v{side:g}h-{side:g}z"
    return [
        f'<path d="{squares[shade]}" fill="#2a6fbb" fill-opacity="{shade}"/>'
        for shade in sorted(squares)
        if shade != "0.00"
    ]


def _cells(fullest: tuple[int, int]) -> list[str]:
    """Return the borders of the cells, and that of the one with most tokens in bold."""
    lines = []
    for n in range(5):
        at = -10 + BUCKET * n
        (left, top), (right, bottom) = _pixel(-10, at), _pixel(at, -10)
        _, upper = _pixel(at, 10)
        lines.append(f'<path d="M{left:g} {top:g}H{left + 20 * UNIT:g}" stroke="#bbb" stroke-width="1"/>')
        lines.append(f'<path d="M{right:g} {bottom:g}V{upper:g}" stroke="#bbb" stroke-width="1"/>')
    left, top = _pixel(fullest[0] * BUCKET, (fullest[1] + 1) * BUCKET)
    edge = BUCKET * UNIT
    lines.append(
        f'<rect x="{left:g}" y="{top:g}" width="{edge:g}" height="{edge:g}" fill="none" stroke="#555" '
        'stroke-width="2"/>'
    )
    return lines


def _circle(x: float, y: float) -> str:
    at, down = _pixel(x, y)
    return (
        f'<circle cx="{at:g}" cy="{down:g}" r="{RADIUS * UNIT:g}" fill="none" stroke="#c2410c" stroke-width="1.5" '
        'stroke-dasharray="6 4"/>'
    )


def _token(name: str, place: tuple[float, float], *, near: bool, center: bool) -> str:
    at, down = _pixel(*place)
    colour = "#c2410c" if near or center else "#222"
    weight = ' font-weight="bold"' if center else ""
    return (
        f'<circle cx="{at:g}" cy="{down:g}" r="{5 if center else 4}" fill="{colour}"/>'
        f'<text x="{at:g}" y="{down - 8:g}" text-anchor="middle" fill="{colour}"{weight}>{name}</text>'
    )


def _pixel(x: float, y: float) -> tuple[float, float]:
    return MARGIN + (x + 10) * UNIT, MARGIN + (10 - y) * UNIT


def main() -> None:
    """Write the picture into the file that is named."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "grid.svg")
    with NeuroGraphClient(username=USERNAME, password=PASSWORD) as client:
        target.write_text(draw(client), encoding="utf-8")
    print("drawn:", target)


if __name__ == "__main__":
    main()
