"""What a bench returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured and its limit, as they read; whether it holds."""

    name: str
    measured: str
    limit: str
    ok: bool


def at_most(name: str, measured: float, limit: float, unit: str) -> Figure:
    return Figure(name, f"{measured:.1f} {unit}", f"< {limit:g} {unit}", measured < limit)


def at_least(name: str, measured: float, limit: float, unit: str) -> Figure:
    return Figure(name, f"{measured:.1f} {unit}", f"≥ {limit:g} {unit}", measured >= limit)
