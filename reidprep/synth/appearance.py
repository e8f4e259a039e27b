"""What makes a drawn person the same person in every image: build, skin, hair, clothes, things carried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from reidprep.synth.canvas import Colour, Texture
from reidprep.synth.skeleton3d import Build

T = TypeVar("T")
Pattern = Literal["plain", "stripes", "bars", "plaid", "dots"]
Hair = Literal["short", "long", "tail", "cap"]
Lower = Literal["trousers", "shorts", "skirt", "dress"]
Carried = Literal["nothing", "backpack", "handbag", "satchel"]

SKINS: tuple[Colour, ...] = (
    (0.94, 0.78, 0.67), (0.88, 0.70, 0.57), (0.80, 0.60, 0.46), (0.66, 0.47, 0.34), (0.48, 0.33, 0.24),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (0.07, 0.06, 0.06), (0.09, 0.07, 0.06), (0.12, 0.09, 0.07), (0.15, 0.11, 0.08), (0.21, 0.14, 0.09),
)  # fmt: skip
TOPS: tuple[Colour, ...] = (
    (0.93, 0.93, 0.91), (0.15, 0.15, 0.17), (0.75, 0.13, 0.15), (0.20, 0.35, 0.70), (0.93, 0.78, 0.22),
    (0.22, 0.55, 0.35), (0.90, 0.55, 0.65), (0.50, 0.28, 0.58), (0.55, 0.56, 0.58), (0.92, 0.50, 0.20),
    (0.50, 0.72, 0.86), (0.42, 0.14, 0.20), (0.72, 0.66, 0.52),
)  # fmt: skip
BOTTOMS: tuple[Colour, ...] = (
    (0.14, 0.15, 0.18), (0.20, 0.26, 0.42), (0.36, 0.46, 0.62), (0.62, 0.54, 0.40), (0.48, 0.48, 0.50),
    (0.82, 0.80, 0.76), (0.33, 0.27, 0.22), (0.30, 0.34, 0.26), (0.60, 0.20, 0.25),
)  # fmt: skip
SHOES: tuple[Colour, ...] = (
    (0.10, 0.10, 0.10), (0.88, 0.88, 0.88), (0.35, 0.22, 0.15), (0.65, 0.15, 0.18), (0.40, 0.42, 0.46),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fabric:
    """A cloth: base colour and a second one laid over it by a pattern with a period in metres."""

    base: Colour
    second: Colour
    pattern: Pattern
    period: float

    def texture(self, pixels_per_metre: float) -> Texture:
        """Colours as a function of pixels across and along a solid."""
        omega = np.float32(2 * np.pi / (self.period * pixels_per_metre))
        base, second = (np.asarray(colour, dtype=np.float32) for colour in (self.base, self.second))

        def colours(across: NDArray[np.float32], along: NDArray[np.float32]) -> NDArray[np.float32]:
            u, v = np.sin(across * omega), np.sin(along * omega)
            if self.pattern == "stripes":
                weight = (v > 0.2).astype(np.float32)
            elif self.pattern == "bars":
                weight = (u > 0.2).astype(np.float32)
            elif self.pattern == "plaid":
                weight = 0.5 * (u > 0.3) + 0.5 * (v > 0.3)
            elif self.pattern == "dots":
                weight = (u * v > 0.45).astype(np.float32)
            else:
                weight = np.zeros_like(u)
            return np.asarray(base + (second - base) * weight[..., None], dtype=np.float32)

        return colours


@dataclass(frozen=True, slots=True)
class Identity:
    """One person.

    Attributes:
        build: proportions.
        skin: colour of the skin.
        hair: style.
        hair_colour: colour of the hair.
        cap: colour of the cap, worn where `hair` says so.
        top: cloth of the shirt; of the whole dress for `dress`.
        sleeve: covered share of the arm, 0.1 sleeveless to 1 long.
        lower: what is worn below.
        bottom: its cloth.
        length: covered share of the leg.
        shoes: colour of the shoes.
        logo: whether the chest carries a print.
        carried: what is carried.
        bag: its colour.
        bag_side: the side a bag hangs on.
    """

    build: Build
    skin: Colour
    hair: Hair
    hair_colour: Colour
    cap: Colour
    top: Fabric
    sleeve: float
    lower: Lower
    bottom: Fabric
    length: float
    shoes: Colour
    logo: bool
    carried: Carried
    bag: Colour
    bag_side: Literal["r", "l"]


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""
    feminine = rng.random() < 0.5
    height = rng.normal(1.63 if feminine else 1.75, 0.05)
    build = Build(
        height=float(height),
        girth=float(np.clip(rng.normal(0.95 if feminine else 1.05, 0.1), 0.82, 1.3)),
        shoulders=float(rng.uniform(0.096, 0.106) if feminine else rng.uniform(0.106, 0.118)),
        hips=float(rng.uniform(0.056, 0.064) if feminine else rng.uniform(0.052, 0.059)),
    )
    hair: Hair = _pick(rng, ("long", "tail", "short", "cap"), (4, 4, 1.5, 0.5) if feminine else (0, 0, 9, 1))
    lower: Lower = _pick(rng, ("trousers", "shorts", "skirt", "dress"), (5, 3, 2, 2) if feminine else (7, 3, 0, 0))
    lengths = {"trousers": (0.93, 1.0), "shorts": (0.3, 0.52), "skirt": (0.3, 0.5), "dress": (0.32, 0.55)}
    skin = _varied(rng, SKINS)
    return Identity(
        build=build,
        skin=skin,
        hair=hair,
        hair_colour=_varied(rng, HAIRS),
        cap=_varied(rng, TOPS),
        top=_fabric(rng, TOPS, plain=0.55),
        sleeve=float(_pick(rng, (0.1, 0.42, 0.5, 1.0), (1 if feminine else 0.2, 4, 2, 3))),
        lower=lower,
        bottom=_fabric(rng, BOTTOMS, plain=0.85),
        length=float(rng.uniform(*lengths[lower])),
        shoes=_varied(rng, SHOES),
        logo=bool(rng.random() < 0.3),
        carried=_pick(rng, ("nothing", "backpack", "handbag", "satchel"), (4, 2, 3, 2) if feminine else (5, 4, 0.5, 2)),
        bag=_varied(rng, TOPS),
        bag_side="r" if rng.random() < 0.5 else "l",
    )


def _fabric(rng: np.random.Generator, palette: tuple[Colour, ...], plain: float) -> Fabric:
    patterns: tuple[Pattern, ...] = ("plain", "stripes", "bars", "plaid", "dots")
    rest = (1 - plain) / (len(patterns) - 1)
    pattern: Pattern = _pick(rng, patterns, (plain, rest, rest, rest, rest))
    return Fabric(_varied(rng, palette), _varied(rng, palette), pattern, float(rng.uniform(0.07, 0.16)))


def _pick(rng: np.random.Generator, choices: tuple[T, ...], weights: tuple[float, ...]) -> T:
    share = np.asarray(weights, dtype=np.float64)
    return choices[int(rng.choice(len(choices), p=share / share.sum()))]


def _varied(rng: np.random.Generator, palette: tuple[Colour, ...]) -> Colour:
    """A colour near one of the palette's, so that equal names do not mean equal colours."""
    near = np.clip(np.asarray(palette[int(rng.integers(len(palette)))]) + rng.normal(0, 0.025, 3), 0.03, 0.97)
    r, g, b = near.tolist()
    return r, g, b
