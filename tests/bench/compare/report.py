"""Medians of every server's figures, and how ours stands to each of the others."""

from statistics import median

Rows = list[dict[str, object]]
LABELS = ("round", "server", "load")
LOWER_IS_BETTER = (" s", " ms", " GiB")


def describe(rows: Rows) -> str:
    """Return a table: a line a figure, a column a server, behind each peer's how many times better ours is."""
    servers = list(dict.fromkeys(str(row["server"]) for row in rows))
    lines = ["| load | figure | " + " | ".join(servers) + " |", "|---|---|" + "---|" * len(servers)]
    for load, figure in dict.fromkeys((str(row["load"]), name) for row in rows for name in row if name not in LABELS):
        medians = [_median(rows, server, load, figure) for server in servers]
        cells = [_cell(value, medians[0], figure, is_ours=not index) for index, value in enumerate(medians)]
        lines.append(f"| {load} | {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(rows: Rows, server: str, load: str, figure: str) -> float | None:
    values = [
        float(str(row[figure])) for row in rows if row["server"] == server and row["load"] == load and figure in row
    ]
    return median(values) if values else None


def _cell(value: float | None, ours: float | None, figure: str, *, is_ours: bool) -> str:
    if value is None:
        return "-"
    if is_ours or not ours or not value:
        return f"{value:.4g}"
    ratio = value / ours if figure.endswith(LOWER_IS_BETTER) else ours / value
    return f"{value:.4g} ({ratio:.2f}x)"
